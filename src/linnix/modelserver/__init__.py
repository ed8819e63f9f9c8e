"""The model server: finds a GGUF file, converts the bundled one once, and runs llama.cpp in a child process."""
