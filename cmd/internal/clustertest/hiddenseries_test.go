package clustertest

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/bytemap"
)

// hideSeries damages the first name in the index of series of a leader, so that it is larger than what a list of a
// collection begins with: whoever looks for that with a search comes to the end at once.
func (s *classScene) hideSeries(group uint32) spoil {
	s.t.Helper()
	d := spoil{group: group, class: "first name of the index", flip: 0x80}
	for i := range s.nodes {
		if g, ok := s.Group(i, group); ok && g.IsLeader() {
			d.node = i
		}
	}
	b, err := os.ReadFile(s.path(d.node, group))
	must(s.t, err)
	classes, err := bytemap.Of(b)
	must(s.t, err)
	var names [][]byte
	for device := range s.want {
		if groupOf(device) == group {
			names = append(names, storage.Series{Database: database, Collection: collection, Device: device}.Key())
		}
	}
	first := slices.MinFunc(names, bytes.Compare)
	for _, at := range append(classes["series key"], classes["inline bucket"]...) {
		if bytes.HasPrefix(b[at:], first) {
			d.at = at + 1 + len(database) + 1 + len(collection)/2
		}
	}
	if d.at == 0 {
		s.t.Fatalf("group %d on %s has no index of series", group, s.nodes[d.node].Name)
	}
	overwrite(s.t, s.path(d.node, group), int64(d.at), []byte{b[d.at] ^ d.flip})
	return d
}

// overwrite writes bytes into a file in place, under whoever has it open.
func overwrite(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
