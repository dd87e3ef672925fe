package gateway

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
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

// A replica that is wrong in a thousand leaves does not push out what else nodes remember: the first are told of, and
// how many there are.
func TestEventsOfOneCheckAreBounded(t *testing.T) {
	g := &Gateway{events: newEventRing(time.Now()), logger: slog.New(slog.DiscardHandler)}
	g.checks.skips = newSkips(func(crowd) {})
	defer g.checks.skips.close()
	report := antientropy.Report{Group: 7, Damaged: true, FindingsTotal: 5000, Findings: make([]antientropy.Finding, antientropy.MaxFindings)}
	g.keepReport(&report)
	events, _ := g.Events(0)
	if len(events) != maxToldFindings+1 {
		t.Fatalf("%d events", len(events))
	}
	if last := events[maxToldFindings].Text; !strings.Contains(last, "4984 findings more") {
		t.Errorf("the last one: %s", last)
	}
	for i := range report.Findings {
		report.Findings[i].Verdict = antientropy.Harmless
	}
	g.keepReport(&report)
	if again, _ := g.Events(0); len(again) != len(events) {
		t.Errorf("%d events of what is harmless", len(again)-len(events))
	}
}
