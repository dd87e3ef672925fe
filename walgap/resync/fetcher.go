package resync

import (
	"context"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Fetcher pulls leaves of a cut from several sources at once (snapshot/transfer does the work). It returns when the
// sink took all that was wanted, or with the reason why not:
//   - storage.ErrNotPinned: no source that still answers has the cut;
//   - an error of the sink that is not storage.ErrWrongContent, as it is (a full disk, a broken file);
//   - anything else: no source is left.
//
// A sink error storage.ErrWrongContent blames the source, which is dropped. The sink is called by one goroutine at a
// time; progress may come at any time until Fetch returns.
type Fetcher interface {
	Fetch(ctx context.Context, p FetchPlan, sink Sink, progress func(FetchProgress)) (FetchResult, error)
}

// Sink takes a leaf that came from a source.
type Sink func(source string, e digest.Entry, leafBytes []byte) error

// FetchPlan is what to pull and from whom.
type FetchPlan struct {
	Job         string
	Group       uint32
	CutID       string
	Sources     []Source
	Want        []digest.Entry
	LeaderShare float64 // of the bytes, 0..1, that the leader may give while another source lives
	Rate        int64   // bytes/s of this job, 0: only the node's own limit
}

// FetchProgress is how far a Fetch has come.
type FetchProgress struct {
	Bytes   int64 // taken in so far, of leaf bytes, by all sources, partial leaves included
	Sources []SourceBytes
}

// SourceBytes is what one node gave.
type SourceBytes struct {
	Node  string `json:"node"`
	Bytes int64  `json:"bytes"`
}

// FetchResult is what a Fetch moved, whether it ended well or not.
type FetchResult struct {
	Sources []SourceBytes
	Blamed  []string // sources that were dropped for wrong bytes
}
