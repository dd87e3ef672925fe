package clustertest

import (
	"errors"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// What a check finds wrong, and is not asked to repair, is marked: the replica says so, and serves none of it any more.
func TestAccusedLeafIsServedNoMore(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := newRotScene(t, func(_ int, c *config.Config) { c.Storage.AntiEntropy.Enabled = false })
		const group = 2
		node := s.follower(t, group)
		s.alter(t, node, group, storage.SpoilDivergent)
		g, _ := s.Group(node, group)
		scan := func() error {
			q := storage.Query{Series: point(s.devices[group], 0, 0).Series, From: storage.MinTime, To: storage.NoEnd}
			return g.Shard().Scan(t.Context(), q, func(storage.Series, *blocks.Columns) error { return nil })
		}
		if err := scan(); err != nil {
			t.Fatal(err)
		}
		r := s.verify(t, api.VerifyRequest{Groups: []uint32{group}})
		if r.ExitCode() != 5 || len(r.Findings) != 1 || r.Findings[0].Node != s.nodes[node].Name || r.Findings[0].Action != api.ActionNone {
			t.Errorf("%+v", r)
		}
		if held, some := g.Suspicion(); !some || held.Disputed || len(held.Leaves) != 1 {
			t.Errorf("held against it: %+v", held)
		}
		if err := scan(); !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("served on: %v", err)
		}
	})
}
