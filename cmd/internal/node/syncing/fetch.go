package syncing

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/flotilla-db/flotilla/rpc/leafstream"
	"github.com/flotilla-db/flotilla/snapshot/transfer"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// leafFetcher pulls leaves from other nodes.
type leafFetcher struct {
	config *Config
	limits *transfer.Limits // of all that comes in
}

// Fetch implements resync.Fetcher.
func (f leafFetcher) Fetch(ctx context.Context, p resync.FetchPlan, sink resync.Sink, progress func(resync.FetchProgress)) (resync.FetchResult, error) {
	settings := f.config.Settings()
	f.limits.In.Set(float64(settings.Rate))
	plan := transfer.Plan{
		Group: p.Group, Cut: p.CutID, Want: p.Want, LeaderShare: p.LeaderShare, Limits: f.limits,
		MessageBytes: transfer.MessageBytesOf(settings.BatchSize, p.Want), Logger: f.config.Logger.With("group", p.Group, "job", p.Job),
	}
	if p.Rate > 0 {
		plan.Rate = transfer.NewLimiter(float64(p.Rate))
	}
	for _, s := range p.Sources {
		plan.Sources = append(plan.Sources, transfer.SourceInfo{
			Source: leafstream.NewPeer(s.Server.NodeID, f.config.Streams), Leader: s.Leader, SameZone: s.Zone != "" && s.Zone == f.config.Zone,
		})
	}
	var one sync.Mutex // the sink of a resync is called by one goroutine at a time
	store := func(source string, e digest.Entry, leafBytes []byte) error {
		one.Lock()
		defer one.Unlock()
		err := sink(source, e, leafBytes)
		if errors.Is(err, storage.ErrWrongContent) {
			return fmt.Errorf("%w: %w", transfer.ErrWrongContent, err)
		}
		return err
	}
	result, err := transfer.Run(ctx, plan, store, func(t transfer.Progress) {
		progress(resync.FetchProgress{Bytes: int64(t.Bytes + t.Partial), Sources: sourceBytes(t.Sources)})
	})
	out := resync.FetchResult{Sources: sourceBytes(result.Sources)}
	for _, s := range result.Sources {
		if errors.Is(s.Err, transfer.ErrWrongContent) {
			out.Blamed = append(out.Blamed, s.Name)
		}
	}
	return out, fetchError(err)
}

// fetchError says in the procedure's terms why a fetch ended: with every source
// that is left answering that the cut is gone, the cut is.
func fetchError(err error) error {
	gone, ok := errors.AsType[*transfer.SourcesGone](err)
	if !ok || len(gone.Reasons) == 0 {
		return err
	}
	for _, r := range gone.Reasons {
		if !errors.Is(r.Err, transfer.ErrNotPinned) {
			return noSource{err}
		}
	}
	return err // ErrNotPinned of all
}

// noSource hides that one of several sources has not pinned the cut: others
// have, and are gone for other reasons.
type noSource struct{ err error }

func (e noSource) Error() string { return e.err.Error() }

// Is is all that can be asked of it.
func (e noSource) Is(target error) bool {
	return !errors.Is(target, storage.ErrNotPinned) && errors.Is(e.err, target)
}

func sourceBytes(reports []transfer.SourceReport) []resync.SourceBytes {
	var out []resync.SourceBytes
	for _, s := range reports {
		if s.Bytes > 0 {
			out = append(out, resync.SourceBytes{Node: s.Name, Bytes: int64(s.Bytes)})
		}
	}
	return out
}
