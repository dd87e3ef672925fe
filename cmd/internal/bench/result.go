package bench

import (
	"maps"
	"time"
)

func (t *tally) result(kind string, p Plan) Result {
	seconds := t.elapsed.Seconds()
	r := Result{
		Kind: kind, Callers: p.Callers, Connections: len(p.Conns), Batch: p.Batch, Devices: p.Devices,
		Seconds: seconds, Requests: int64(t.latency.total), Points: t.points,
		P50Ms: milliseconds(t.latency.quantile(0.50)), P90Ms: milliseconds(t.latency.quantile(0.90)),
		P99Ms: milliseconds(t.latency.quantile(0.99)), MaxMs: milliseconds(t.latency.max),
		Errors: maps.Clone(t.failures),
	}
	if seconds > 0 {
		r.RequestsPerSecond = float64(r.Requests) / seconds
		r.PointsPerSecond = float64(r.Points) / seconds
	}
	return r
}

// addProposals says what the writes cost: an entry in a group's log is one round of fsyncs and messages, whatever
// number of points it holds.
func (r *Result) addProposals(n uint64) {
	r.Proposals = &n
	if r.Seconds > 0 {
		perSecond := float64(n) / r.Seconds
		r.ProposalsPerSec = &perSecond
	}
	if n > 0 {
		points := float64(r.Points) / float64(n)
		r.PointsPerProposal = &points
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
