package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/flotilla-db/flotilla/rpc/gateway"
)

var (
	checksMade     = describe("checks_total", "Checks of groups that this node has made since it began.")
	checksPartial  = describe("checks_incomplete_total", "Checks of this node in which not every replica took part.")
	mismatches     = describe("check_mismatches_total", "Checks of this node that found a difference or damage.")
	repairs        = describe("check_repairs_total", "Groups that checks of this node had repaired, by result.", "result")
	scrubBytes     = describe("scrub_read_bytes_total", "Bytes of shards, log and votes that this node's scrub has re-read since it began.")
	scrubParts     = describe("scrub_parts_total", "Shards, logs and votes that this node's scrub has read to their end since it began.")
	scrubBad       = describe("scrub_bad_total", "Leaves and records that this node's scrub found bad since it began.")
	readsElsewhere = describe("reads_elsewhere_total", "Reads that another replica answered because what they touch is not trusted on the one asked first.")
)

var (
	backgroundShare = describe("background_share", "Share of one core that copies, deep checks and scrubs of this node may take now, because clients go first; 1: all that they want.")
	backgroundWaits = describe("background_wait_seconds_total", "How long copies, deep checks and scrubs of this node have waited for its clients since it began.")
)

func proving(ch chan<- prometheus.Metric, p *gateway.Proving) {
	counter(ch, checksMade, p.Made)
	counter(ch, checksPartial, p.Skipped)
	counter(ch, mismatches, p.Mismatches)
	counter(ch, repairs, p.Repaired, "repaired")
	counter(ch, repairs, p.RepairsFailed, "failed")
	counter(ch, scrubBytes, uint64(max(p.ScrubBytes, 0)))
	counter(ch, scrubParts, p.ScrubParts)
	counter(ch, scrubBad, p.ScrubBad)
	counter(ch, readsElsewhere, p.ReadsElsewhere)
	gauge(ch, backgroundShare, p.Share)
	ch <- prometheus.MustNewConstMetric(backgroundWaits, prometheus.CounterValue, p.WaitSeconds)
}

func counter(ch chan<- prometheus.Metric, d *prometheus.Desc, v uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}
