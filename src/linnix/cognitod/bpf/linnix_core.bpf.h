/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What our programs need that no kernel header gives them: helpers by number, types of maps, and ways to ask the running
 * kernel for what it has. Its types are in kernel_types.bpf.h.
 */
#ifndef LINNIX_CORE_BPF_H
#define LINNIX_CORE_BPF_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define NULL ((void *)0)
#define true 1
#define false 0

/* Helper numbers are the kernel's ABI: enum bpf_func_id in include/uapi/linux/bpf.h. */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static __u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static __u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static __u64 (*const bpf_get_current_task)(void) = (void *)35;
static long (*const bpf_probe_read_user)(void *dst, __u64 size, const void *unsafe) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *dst, __u32 size, const void *unsafe) = (void *)113;
static long (*const bpf_probe_read_kernel_str)(void *dst, __u32 size, const void *unsafe) = (void *)115;
static long (*const bpf_seq_write)(void *seq, const void *data, __u32 len) = (void *)127;
static void *(*const bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, __u64 flags) = (void *)132;
static __u64 (*const bpf_ringbuf_query)(void *ring, __u64 what) = (void *)134;
static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158; /* since 5.11 */
static void *(*const bpf_task_storage_get)(void *map, void *task, void *value, __u64 flags) = (void *)156;
static long (*const bpf_loop)(__u32 rounds, void *callback, void *context, __u64 flags) = (void *)181; /* since 5.17 */
static void *(*const bpf_map_lookup_percpu_elem)(void *map, const void *key, __u32 cpu) = (void *)195;

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_HASH 5
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_MAP_TYPE_TASK_STORAGE 29
#define BPF_LOCAL_STORAGE_GET_F_CREATE 1
#define BPF_NOEXIST 1
#define BPF_F_MMAPABLE 1024
#define BPF_F_NO_PREALLOC 1
#define BPF_RB_NO_WAKEUP 1
#define BPF_RB_FORCE_WAKEUP 2
#define BPF_RB_AVAIL_DATA 0
#define BPF_RB_RING_SIZE 1
#define BPF_RB_CONS_POS 2
#define EEXIST 17

/* Atomic, and without the old value: of all atomic instructions the only one that kernels before 5.12 know. Compilers since
 * LLVM 20 write it only for this order; the older builtin without one becomes an instruction that 5.10 refuses. */
#define add_up(counter, amount) ((void)__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED))

/* 2 is BPF_FIELD_EXISTS, 0 is BPF_FIELD_BYTE_OFFSET in enum bpf_core_relo_kind. */
#define field_exists(type, field) __builtin_preserve_field_info(((type *)0)->field, 2)
#define field_offset(type, field) __builtin_preserve_field_info(((type *)0)->field, 0)

/* A bit-field of a struct behind a pointer that the verifier knows: 0, 1, 4 and 5 are its place, size and the two shifts
 * that isolate it in enum bpf_core_relo_kind. */
#define read_bits(pointer, field)                                                                                      \
	({                                                                                                             \
		const void *at = (const void *)(pointer) + __builtin_preserve_field_info((pointer)->field, 0);         \
		__u64 bits = 0;                                                                                        \
		asm volatile("" : "+r"(at));                                                                           \
		switch (__builtin_preserve_field_info((pointer)->field, 1)) {                                          \
		case 1:                                                                                                \
			bits = *(const unsigned char *)at;                                                             \
			break;                                                                                         \
		case 2:                                                                                                \
			bits = *(const unsigned short *)at;                                                            \
			break;                                                                                         \
		case 4:                                                                                                \
			bits = *(const unsigned int *)at;                                                              \
			break;                                                                                         \
		case 8:                                                                                                \
			bits = *(const unsigned long long *)at;                                                        \
			break;                                                                                         \
		}                                                                                                      \
		bits <<= __builtin_preserve_field_info((pointer)->field, 4);                                           \
		bits >> __builtin_preserve_field_info((pointer)->field, 5);                                            \
	})

/* The running kernel has this type, and where it is that of a function, with as many arguments. 0 is BPF_TYPE_EXISTS. */
#define type_exists(type) __builtin_preserve_type_info(*(type *)0, 0)

/* Numbers of an enum are looked up in the running kernel: 0 is BPF_ENUMVAL_EXISTS, 1 is BPF_ENUMVAL_VALUE. */
#define enum_value_exists(type, name) __builtin_preserve_enum_value(*(type *)name, 0)
#define enum_value(type, name) __builtin_preserve_enum_value(*(type *)name, 1)

/* A pointer whose use clang cannot move out of the branch it is written in. An access that does not exist in the running
 * kernel becomes an illegal instruction, harmless only as long as it stays behind its field_exists(). */
#define stay_here(pointer)                                                                                             \
	({                                                                                                             \
		void *here = (pointer);                                                                                \
		asm volatile("" : "+r"(here));                                                                         \
		here;                                                                                                  \
	})

#include "kernel_types.bpf.h"

#endif
