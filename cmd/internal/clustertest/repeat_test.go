package clustertest

import (
	"context"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
)

// I10: a write whose entry reached a follower, but whose leader was cut off
// before it heard so, is applied by the next leader. The server that accepted
// it does not know, says so, and must not write it again: by then something
// else may have been written over it.
func TestI10UnknownWriteIsNotRepeatedByTheServer(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		const slow = 20 * time.Millisecond // one way
		c := StartNew(t, 3, nil)
		if _, err := c.Client().Write(t.Context(), batch("flood", 1000, 1, 1)); err != nil {
			t.Fatal(err)
		}
		device := c.ledBy(0)
		write := func(k *client.Client, value int64) error {
			ctx, cancel := context.WithTimeout(t.Context(), opTimeout)
			defer cancel()
			_, err := k.Write(ctx, []client.Point{point(device, 1, value)})
			return err
		}
		value := func() int64 {
			p, ok, err := c.Client(1, 2).Last(t.Context(), point(device, 1, 0).Series, client.Linearizable)
			if err != nil || !ok {
				return 0
			}
			return p.Fields[0].Value.Int64()
		}
		c.Delay(0, slow)
		first := make(chan error, 1)
		k := c.Client(0)
		go func() { first <- write(k, 2) }()
		time.Sleep(slow + slow/2) // the entry is there, the acks are on their way
		c.Partition(0)
		c.Await("the next leader applies the write", 10*time.Second, func() string {
			for i := 1; i < 3; i++ {
				if g, ok := c.Group(i, groupOf(device)); ok && g.IsLeader() && value() == 2 {
					return ""
				}
			}
			return "it does not"
		})
		if err := write(c.Client(1, 2), 3); err != nil {
			t.Fatal(err)
		}
		old, _ := c.Group(0, groupOf(device))
		c.Await("the old leader steps down", 10*time.Second, func() string {
			if old.IsLeader() {
				return "it leads"
			}
			return ""
		})
		c.Heal()
		if err := <-first; !api.CodeOf(err).Unknown() {
			t.Errorf("the first write ended with %v", err)
		}
		time.Sleep(2 * time.Second)
		if v := value(); v != 3 {
			t.Errorf("the write of %d came back over an acked one", v)
		}
	})
}
