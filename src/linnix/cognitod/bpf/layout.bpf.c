// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Never loaded. One variable of each struct that user space mirrors, so that this object's BTF describes them all:
 * tests/layout compares it with the numpy layouts in events.py.
 */
#include "linnix_core.bpf.h"
#include "event.h"
#include "sights.h"

struct linnix_event layout_event;
struct linnix_exec_text layout_exec_text;
struct linnix_account layout_account;
struct linnix_task layout_task;
struct linnix_clocks layout_clocks;
struct linnix_idle layout_idle;
struct linnix_flood_key layout_flood_key;
struct linnix_flood layout_flood;
struct linnix_books layout_books;
struct linnix_blocked layout_blocked;
