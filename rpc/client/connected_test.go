package client_test

import (
	"context"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

// A change that never left is not called unknown: another node carries it out, and where there is none, nothing was done.
func TestChangesGoRoundANodeThatIsDown(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	for group := range uint32(fakecluster.TotalGroups) {
		c.SetLeader(group, "n2")
	}
	cl := dial(t, c, client.Options{})
	if _, err := cl.Write(t.Context(), []client.Point{at(1, 1)}); err != nil {
		t.Fatal(err)
	}
	c.SetDown("n1", true)
	c.Nodes[0].StopGRPC()
	noticed := false // that the connection broke: what was sent before that may have arrived
	for range 2 * len(c.Nodes) {
		err := cl.Delete(t.Context(), "d", "c", []string{"a"}, nil, nil)
		if !noticed && api.CodeOf(err).Unknown() {
			noticed = true
			continue
		}
		if err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := cl.Delete(ended, "d", "c", []string{"a"}, nil, nil); api.CodeOf(err).Unknown() {
		t.Errorf("nothing was sent, and it is said to be %v", err)
	}
	alone := dial(t, c, client.Options{RetryFor: -1})
	codes := map[api.Code]int{}
	for range c.Nodes {
		codes[api.CodeOf(alone.Delete(t.Context(), "d", "c", []string{"a"}, nil, nil))]++
	}
	if _, err := cl.Verify(t.Context(), "", 1); err != nil {
		t.Errorf("verify: %v", err)
	}
	if codes[api.NotReady] != 1 || codes[""] != len(c.Nodes)-1 {
		t.Errorf("one attempt at each node: %v", codes)
	}
}

// A call that had ended before it was made has sent nothing, over a connection that stands, too.
func TestACallThatHadEndedSendsNothing(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{})
	if _, err := cl.Write(t.Context(), []client.Point{at(1, 1)}); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for range 2 * len(c.Nodes) {
		if err := cl.Delete(ended, "d", "c", []string{"a"}, nil, nil); err == nil || api.CodeOf(err).Unknown() {
			t.Errorf("nothing was sent, and it is said to be %v", err)
		}
	}
}
