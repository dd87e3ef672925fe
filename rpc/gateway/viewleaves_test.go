package gateway

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// That a file has free pages is no finding, what an inspection calls harmless damage is one, whatever its words are.
func TestFreePagesAreNoDamage(t *testing.T) {
	if in := InspectedOf("l1", storage.Position{Index: 7}, &storage.Inspection{FreePages: 9}); len(in.Harmless) > 0 {
		t.Errorf("a healthy file: %q", in.Harmless)
	}
	odd := []string{"meta page 1, the older one, is damaged", "page 9: bytes that mean nothing, whose bytes mean nothing"}
	in := InspectedOf("l1", storage.Position{Index: 7}, &storage.Inspection{FreePages: 9, Harmless: odd, Structure: errors.New("page 4")})
	if !slices.Equal(in.Harmless, odd) || in.Structure != "page 4" || in.Index != 7 {
		t.Errorf("%+v", in)
	}
}

// What a replica says of leaves that it is asked to read again comes from the bytes on its disk, and so does what it says of
// its root in the end; the digests that it keeps say nothing of rot.
func TestLeavesThatAreReadAgainAreReadFromTheDisk(t *testing.T) {
	shard, err := storage.OpenShard(storage.Options{Path: filepath.Join(t.TempDir(), "shard.db"), Identity: storage.Identity{ClusterID: "c", Group: 1, Lineage: "l1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer shard.Close()
	p := storage.Point{Series: storage.Series{Database: "db", Collection: "c", Device: "d"}, Time: 1, Fields: []storage.Field{{Name: "v", Value: blocks.Text("a text of some bytes")}}}
	if err := shard.Apply([]storage.Entry{{Index: 7, Term: 1, Data: storage.AppendPut(nil, []storage.Point{p})}})[0]; err != nil {
		t.Fatal(err)
	}
	leaf := digest.Leaf{Window: 0, Slot: storage.SlotOf(p.Key())}
	ask := func(reread bool, only []digest.Leaf) antientropy.LeafList {
		t.Helper()
		if _, err := shard.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		v, err := shard.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		list, err := LeavesOf(t.Context(), v, "l1", reread, only)
		if err != nil || list.Place != (antientropy.Place{Lineage: "l1", Index: 7}) {
			t.Fatalf("%+v, %v", list, err)
		}
		return list
	}
	kept := ask(false, nil)
	if len(kept.Leaves) != 1 || kept.Leaves[0].Leaf != leaf || kept.Leaves[0].Unreadable || kept.BytesRead != 0 {
		t.Fatalf("%+v", kept)
	}
	if again := ask(true, []digest.Leaf{leaf}); !slices.Equal(again.Leaves, kept.Leaves) || again.BytesRead == 0 {
		t.Errorf("read again: %+v", again)
	}
	if none := ask(true, []digest.Leaf{}); len(none.Leaves) != 0 {
		t.Errorf("asked for none: %+v", none)
	}
	if _, err := shard.Spoil(t.Context(), storage.SpoilBitflip, func(int) int { return 0 }); err != nil {
		t.Fatal(err)
	}
	if still := ask(false, nil); !slices.Equal(still.Leaves, kept.Leaves) {
		t.Errorf("nothing was read, and it says %+v: the test shows nothing", still)
	}
	if again := ask(true, []digest.Leaf{leaf}); len(again.Leaves) != 1 || !again.Leaves[0].Unreadable || again.Leaves[0].Why == "" {
		t.Errorf("over a flipped bit: %+v", again)
	}
	if doubted := ask(false, nil); len(doubted.Leaves) != 1 || !doubted.Leaves[0].Unreadable {
		t.Errorf("once it was found to be bad: %+v", doubted)
	}
}
