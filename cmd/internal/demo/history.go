package demo

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flotilla-db/flotilla/cmd/internal/ledger"
	"github.com/flotilla-db/flotilla/storage"
)

// The past of the simulated devices: ten days of hourly readings, older than everything that they write during the
// demo. It never changes, so it is what a copy of only the changes does not move.
const (
	historyCollection = "history"
	historyPoints     = 240 // of a device
	historyBatch      = 1000
	historyWriters    = 8
)

func newHistory() *ledger.Ledger {
	plan := ledger.Plan{Database: simDatabase, Collection: historyCollection, Devices: simulated,
		Start: time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC), Step: time.Hour}
	return ledger.New(plan, totalGroups)
}

// past writes the history, once.
func (s *stage) past(ctx context.Context) error {
	if s.history.Acked() > 0 {
		return nil
	}
	began := time.Now()
	err := s.during(ctx, func() string { return fmt.Sprintf("%s points of history are acked", thousands(s.history.Acked())) }, s.writePast)
	if err != nil {
		return err
	}
	s.say.line("Simulated as well: ten days of hourly history of the same devices, %s points, written in %s.",
		thousands(s.history.Acked()), seconds(time.Since(began)))
	return nil
}

// writePast writes some devices whole in one batch after the other.
func (s *stage) writePast(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	const together = historyBatch / historyPoints
	for w := range historyWriters {
		g.Go(func() error {
			for first := w * together; first < simulated; first += historyWriters * together {
				if err := s.writeDevices(ctx, s.remotes[w%len(s.remotes)], first, min(first+together, simulated)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (s *stage) writeDevices(ctx context.Context, through *ledger.Remote, first, end int) error {
	var points []storage.Point
	for device := first; device < end; device++ {
		for seq := range historyPoints {
			s.history.Attempt(device, seq)
			points = append(points, s.history.Point(device, seq))
		}
	}
	began := time.Now()
	for err := through.Write(ctx, points); err != nil; err = through.Write(ctx, points) {
		if ctx.Err() != nil || time.Since(began) > patience {
			return fmt.Errorf("write the history: %w", err)
		}
	}
	for device := first; device < end; device++ {
		for seq := range historyPoints {
			s.history.Ack(device, seq, time.Since(began))
		}
	}
	return nil
}
