package resync

import (
	"time"

	"github.com/flotilla-db/flotilla/walgap"
)

// limit is how many bytes a second the copy may fetch, by the job's own rate and that of its node; 0: any number.
func (j *job) limit() int64 {
	limit := j.req.Rate
	if j.config.Limit != nil {
		if node := j.config.Limit(); node > 0 && (limit == 0 || node < limit) {
			limit = node
		}
	}
	return limit
}

// rates are what the job is priced by.
func (j *job) rates() walgap.Rates { return j.config.Rates.Rates().Copying(j.limit()) }

// observeFetch counts what was fetched, unless it was an operator's limit that it came at: that says nothing of the
// wire. Of the time that it took it was given but a part, where clients went first.
func observeFetch(r walgap.Rates, bytes int64, took, given time.Duration, limit int64) walgap.Rates {
	if limit > 0 && float64(bytes) > float64(limit)*took.Seconds()/2 {
		return r
	}
	return r.WithFetch(uint64(bytes), given)
}
