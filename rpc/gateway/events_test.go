package gateway

import (
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

func TestEventsAreBoundedRiseAndWakeWhoWaits(t *testing.T) {
	r := newEventRing(time.Now())
	_, more := r.since(0)
	select {
	case <-more:
		t.Fatal("there are more before there is one")
	default:
	}
	for range keepEvents + 10 {
		r.add(true, api.Event{Kind: api.EventNode, Node: "n1"})
	}
	select {
	case <-more:
	default:
		t.Fatal("nobody was woken")
	}
	all, _ := r.since(0)
	if len(all) != keepEvents || len(r.take()) != maxToldEvents {
		t.Fatalf("%d events are kept", len(all))
	}
	for i := 1; i < len(all); i++ {
		if all[i].ID <= all[i-1].ID {
			t.Fatalf("id %d behind %d", all[i].ID, all[i-1].ID)
		}
	}
	rest, _ := r.since(all[keepEvents-3].ID)
	if len(rest) != 2 || rest[0].ID != all[keepEvents-2].ID {
		t.Fatalf("behind the third last: %v", rest)
	}
	if next := newEventRing(time.Now().Add(time.Second)); next.next <= all[keepEvents-1].ID {
		t.Fatal("ids of the next process do not lie behind those of this one")
	}
}
