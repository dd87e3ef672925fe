package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// Delete removes the points of [From, To) of some devices, of a collection
// (no devices) or of a database (no collection either).
type Delete struct {
	Database   string
	Collection string
	Devices    []string
	From, To   int64 // ns; storage.MinTime and storage.NoEnd for all
}

func (d *Delete) validate() error {
	if err := storage.ValidateDatabase(d.Database); err != nil {
		return invalid(err)
	}
	if d.Collection != "" {
		if err := storage.ValidateCollection(d.Collection); err != nil {
			return invalid(err)
		}
	}
	if d.Collection == "" && len(d.Devices) > 0 {
		return api.E(api.InvalidArgument, "name the collection of the devices", "a delete by device needs a collection")
	}
	d.Devices = distinct(d.Devices)
	for _, device := range d.Devices {
		if err := storage.ValidateDevice(device); err != nil {
			return invalid(err)
		}
	}
	if d.From >= d.To {
		return api.E(api.InvalidArgument, "the end is exclusive and lies behind the start", "the time range is empty")
	}
	return nil
}

// Delete carries the delete out in every group that it touches and gives
// their number. Groups that do not exist hold nothing and are not made.
func (g *Gateway) Delete(ctx context.Context, d Delete) (groups int, err error) {
	deadline := time.Now().Add(g.cfg.WriteTimeout)
	if err := d.validate(); err != nil {
		return 0, err
	}
	bctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	// A group born elsewhere a moment ago must not be missed.
	if err := g.cfg.Directory.Barrier(bctx); err != nil {
		return 0, api.E(api.NoLeader, "retry", "the meta group does not answer, nothing was deleted").Because(err)
	}
	t := g.cfg.Directory.Table()
	if !t.hasDatabase(d.Database) {
		return 0, databaseNotFound(d.Database, "see `flotilla databases list`")
	}
	parts := d.parts(t)
	if len(parts) == 0 {
		return 0, nil
	}
	if err := g.deliver(ctx, [][]*part{parts}, deadline); err != nil {
		return 0, err
	}
	return len(parts), nil
}

// parts encodes the delete for each group that it touches.
func (d *Delete) parts(t *Table) []*part {
	series := storage.Series{Database: d.Database, Collection: d.Collection}
	frames := map[uint32][]byte{}
	if len(d.Devices) == 0 {
		for group := range t.Assignments {
			frames[group] = storage.AppendDelete(nil, storage.Delete{Series: series, From: d.From, To: d.To})
		}
	}
	for _, device := range d.Devices {
		series.Device = device
		group := storage.GroupOf(d.Database, d.Collection, device, t.TotalGroups)
		if _, exists := t.Assignments[group]; exists {
			frames[group] = storage.AppendDelete(frames[group], storage.Delete{Series: series, From: d.From, To: d.To})
		}
	}
	parts := make([]*part, 0, len(frames))
	for group, f := range frames {
		parts = append(parts, &part{group: group, frames: f})
	}
	slices.SortFunc(parts, func(a, b *part) int { return int(a.group) - int(b.group) })
	return parts
}
