/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What a block request is, across kernels: one accessor a question, each naming the change that made it necessary.
 */
#ifndef LINNIX_BLOCK_BPF_H
#define LINNIX_BLOCK_BPF_H

#include "linnix_core.bpf.h"

/* include/linux/blk_types.h: the same numbers from 5.10 to 6.18 */
#define REQ_OP_MASK 0xff
#define REQ_OP_READ 0
#define REQ_OP_WRITE 1
#define REQ_OP_FLUSH 2
#define REQ_FUA (1 << 17)
#define REQ_PREFLUSH (1 << 18)

/* include/linux/kdev_t.h */
#define MINORBITS 20

/* What the tracepoints look like since 5.11, a54895fa057c "block: remove the request_queue to argument request based
 * tracepoints" and its siblings for bios: before, the queue was their first argument. Later releases of 5.10 have the one
 * and not the other, so each is asked for its own type. */
typedef void (*btf_trace_block_rq_issue)(void *data, struct request *request);
typedef void (*btf_trace_block_getrq)(void *data, struct bio *bio);
typedef void (*btf_trace_block_bio_frontmerge)(void *data, struct bio *bio);

/* An argument of a tracepoint by a constant index: 5.10 does not follow one that clang computes to merge two branches. */
#define argument(ctx, place)                                                                                           \
	({                                                                                                             \
		__u64 loaded;                                                                                          \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(loaded) : "r"(ctx), "i"((place) * 8));                    \
		(void *)loaded;                                                                                        \
	})

/* The request of block_rq_issue and of block_rq_requeue, which changed together. */
static __always_inline struct request *traced_request(__u64 *ctx)
{
	return type_exists(btf_trace_block_rq_issue) ? argument(ctx, 0) : argument(ctx, 1);
}

/* The bio of block_getrq. */
static __always_inline struct bio *traced_bio(__u64 *ctx)
{
	return type_exists(btf_trace_block_getrq) ? argument(ctx, 0) : argument(ctx, 1);
}

/* The bio of block_bio_frontmerge, which had the queue and the request before it. */
static __always_inline struct bio *merged_bio(__u64 *ctx)
{
	return type_exists(btf_trace_block_bio_frontmerge) ? argument(ctx, 0) : argument(ctx, 2);
}

static __always_inline __u32 disk_dev(struct gendisk *disk)
{
	return (__u32)disk->major << MINORBITS | disk->first_minor;
}

/* The whole disk, also for a partition. */
static __always_inline __u32 request_dev(struct request *request)
{
	if (field_exists(struct request___before_5_17, rq_disk))
		return disk_dev(((struct request___before_5_17 *)stay_here(request))->rq_disk);
	return disk_dev(request->q->disk);
}

static __always_inline __u32 bio_dev(struct bio *bio)
{
	if (field_exists(struct bio___before_5_12, bi_disk))
		return disk_dev(((struct bio___before_5_12 *)stay_here(bio))->bi_disk);
	return disk_dev(bio->bi_bdev->bd_disk);
}

#endif
