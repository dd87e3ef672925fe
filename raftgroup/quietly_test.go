package raftgroup

import (
	"context"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// first picks what comes first.
func first(int) int { return 0 }

// A replica that does not run is looked at as one that does: of a leaf that is suspect its bytes count, never the
// digest that was stored when they were right; one in dispute counts. With a mark that cannot be read, or in
// quarantine, nothing of it counts.
func TestReplicaThatDoesNotRunIsSuspectAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		ctx := context.Background()
		s.write(5)
		s.applied(7, put(t, s.leader, "other", 1<<60, 1))
		g := s.replica()
		states := func(shard *storage.Shard) []storage.LeafState {
			t.Helper()
			v, err := shard.Look(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			list, err := v.States(ctx, false, nil)
			if err != nil || len(list) != 2 || list[0].Points != 5 && list[0].Err == nil {
				t.Fatalf("%+v, %v", list, err)
			}
			return list
		}
		leaves := states(g.Shard())
		s.applied(7, put(t, s.leader, "third", 1<<61, 1)) // with it the digests are written
		if _, err := g.Shard().Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Shard().Spoil(ctx, storage.SpoilBitflip, first); err != nil {
			t.Fatal(err)
		}
		wrong, disputed := leaves[0].Leaf, leaves[1].Leaf
		mustSuspect(t, g, Suspicion{Why: "unreadable", Leaves: []digest.Leaf{wrong}})
		mustSuspect(t, g, Suspicion{Why: "who knows", Disputed: true, Leaves: []digest.Leaf{disputed}})
		g.opening.Lock()
		defer g.opening.Unlock()
		if err := g.stop(ReplicaSyncing, "a test looks at it"); err != nil {
			t.Fatal(err)
		}
		host := g.host
		look := func() *storage.Shard {
			t.Helper()
			shard, _, err := host.openQuietly(7)
			if err != nil {
				t.Fatal(err)
			}
			return shard
		}
		shard := look()
		if got := shard.Distrusted(); !slices.Equal(got, []digest.Leaf{wrong}) {
			t.Errorf("it goes by the digests of all leaves but %v", got)
		}
		v, err := shard.Look(ctx)
		if err != nil {
			t.Fatal(err)
		}
		list, err := v.States(ctx, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			if bad := l.Leaf == wrong; bad != (l.Err != nil) {
				t.Errorf("%+v", l)
			}
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if err := shard.Close(); err != nil {
			t.Error(err)
		}

		mark, err := os.ReadFile(host.suspectPath(7))
		if err != nil {
			t.Fatal(err)
		}
		bad := slices.Clone(mark)
		bad[len(bad)/2] ^= 1
		if err := os.WriteFile(host.suspectPath(7), bad, 0o640); err != nil {
			t.Fatal(err)
		}
		if shard := look(); shard != nil {
			t.Error("its mark cannot be read, and it is looked at")
		}
		if err := os.WriteFile(host.suspectPath(7), mark, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := host.markQuarantined(7, os.ErrInvalid); err != nil {
			t.Fatal(err)
		}
		if shard := look(); shard != nil {
			t.Error("it is in quarantine, and is looked at")
		}
		if err := host.unmark(7); err != nil {
			t.Fatal(err)
		}
		if shard := look(); shard == nil {
			t.Error("it is not looked at any more")
		} else if err := shard.Close(); err != nil {
			t.Error(err)
		}
	})
}
