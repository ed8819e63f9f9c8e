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

/* Before 5.11, a54895fa057c "block: remove the request_queue to argument request based tracepoints" and its siblings,
 * these tracepoints had the queue as their first argument. bd_stats came with the same release. */
static __always_inline bool queue_comes_first(void)
{
	return !field_exists(struct block_device, bd_stats);
}

/* The argument `place` before 5.11, and the first since. Not an index that clang computes: 5.10 wants a constant one. */
static __always_inline void *first_but_queue(__u64 *ctx, int place)
{
	if (queue_comes_first())
		return (void *)((volatile __u64 *)ctx)[place];
	return (void *)((volatile __u64 *)ctx)[0];
}

/* The request of block_rq_issue and block_rq_requeue. */
static __always_inline struct request *traced_request(__u64 *ctx)
{
	return first_but_queue(ctx, 1);
}

/* The bio of block_getrq. */
static __always_inline struct bio *traced_bio(__u64 *ctx)
{
	return first_but_queue(ctx, 1);
}

/* The bio of block_bio_frontmerge, which had the queue and the request before it. */
static __always_inline struct bio *merged_bio(__u64 *ctx)
{
	return first_but_queue(ctx, 2);
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
