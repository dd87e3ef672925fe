package directory

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Callers whose commands are committed, but wait for the state machine when their
// instance of raft ends, are told that the outcome is unknown: raft does not
// answer them. They are told at once, and Close waits for none of them.
func TestCallersDoNotOutliveTheirInstance(t *testing.T) {
	for _, story := range []struct {
		name string
		end  func(*member) error
	}{
		{"Closed", func(m *member) error { return m.Close() }},
		{"Replaced", func(m *member) error { return m.replaceInstance(func() error { return nil }) }},
	} {
		t.Run(story.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				ctx := within(t, time.Hour)
				free := make(chan struct{})
				m := n.start(nodeID(1), func(c *Config) { c.Fatal = func(error) { <-free } })
				n.bootstrap(m, 8)
				m.raft().Apply(nil, 0) // no command: the state machine says so, and waits there
				var callers sync.WaitGroup
				var unknown atomic.Int64
				for i := range 20 {
					synctest.Wait() // each in a batch of its own
					callers.Go(func() {
						err := m.SetSetting(ctx, "key", fmt.Sprint(i))
						if errors.Is(err, ErrUnknown) {
							unknown.Add(1)
						} else if err != nil && !errors.Is(err, ErrClosed) {
							t.Errorf("caller %d: %v", i, err)
						}
					})
				}
				synctest.Wait()
				ended, began := make(chan error, 1), time.Now()
				go func() { ended <- story.end(m) }()
				synctest.Wait()
				close(free)
				must(t, <-ended)
				callers.Wait()
				if took := time.Since(began); took > time.Minute {
					t.Errorf("the last caller was told after %v", took)
				}
				if unknown.Load() == 0 {
					t.Error("raft has answered all callers: nothing was tested")
				}
			})
		})
	}
}
