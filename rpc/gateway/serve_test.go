package gateway_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
)

// A node of another version, or a broken one, sends what this one cannot apply:
// that part is refused, and never meets the writes of others in a log entry.
func TestPartsOfAnotherNodeThatCannotBeAppliedAreRefused(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	group := groupOf("a")
	var leader *fakecluster.Node
	for _, n := range c.Nodes {
		if n.Name == c.Leader(group) {
			leader = n
		}
	}
	good := storage.AppendPut(nil, []storage.Point{point("a", 1, 1)})
	torn := append(slices.Clone(good), 0xff)
	torn[0]++
	const applied, refused = 1, 7
	for name, tt := range map[string]struct {
		frames []byte
		want   byte
	}{
		"Whole":       {good, applied},
		"Delete":      {storage.AppendDelete(nil, storage.Delete{Series: storage.Series{Database: "d", Collection: "c", Device: "b"}}), applied},
		"BadRow":      {torn, refused},
		"BadBehind":   {slices.Concat(good, torn), refused},
		"UnknownKind": {[]byte{2, 99, 0}, refused},
		"NotAWrite":   {storage.AppendCut(nil, storage.Cut{ID: "x", TTL: 1}), refused},
		"CutShort":    {good[:len(good)-1], refused},
	} {
		t.Run(name, func(t *testing.T) {
			before := c.Proposals(group)
			payload := []byte{1, 2} // version, parts
			for _, frames := range [][]byte{tt.frames, good} {
				payload = binary.AppendUvarint(payload, uint64(group))
				payload = binary.AppendUvarint(payload, uint64(len(frames)))
				payload = append(payload, frames...)
			}
			reply, err := leader.Gateway.Serve(t.Context(), membership.NodeID{Name: "n9", Incarnation: "00000009"}, gateway.MethodWrite, payload)
			if err != nil || len(reply) < 6 || reply[1] != 2 {
				t.Fatalf("reply %x, %v", reply, err)
			}
			if reply[2] != tt.want {
				t.Errorf("outcome %d, want %d: %q", reply[2], tt.want, reply)
			}
			if last := reply[len(reply)-3]; last != applied { // outcome, no leader, no text
				t.Errorf("outcome of the good part is %d: %q", last, reply)
			}
			proposed := 1
			if tt.want == applied {
				proposed = 2
			}
			if n := c.Proposals(group) - before; n != proposed {
				t.Errorf("%d proposals, want %d", n, proposed)
			}
		})
	}
}
