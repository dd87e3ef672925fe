package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
)

// The answer says what became of a write once, and why, from near and far.
func TestOutcomeOfAWriteIsOneClearLine(t *testing.T) {
	few := fmt.Errorf("group 3 has 3 live replicas, 4 are asked for: %w", gateway.ErrNotApplied)
	by := regexp.MustCompile(`node n[1-3]: `) // whom it asked last
	for _, tt := range []struct {
		node   int
		answer error
		code   api.Code
		want   string
	}{
		{0, few, api.NotApplied, "group 3: the write was not applied: group 3 has 3 live replicas, 4 are asked for (retry)"},
		{1, few, api.NotApplied, "group 3: the write was not applied: group 3 has 3 live replicas, 4 are asked for (retry)"},
		{0, gateway.ErrNotApplied, api.NotApplied, "group 3: the write was not applied (retry)"},
		{1, fmt.Errorf("no such field: %w", gateway.ErrRefused), api.InvalidArgument, "group 3: the write was refused: no such field"},
		{1, fmt.Errorf("lost the lead: %w", gateway.ErrUnknown), api.OutcomeUnknown, "group 3: the write may or may not be applied: lost the lead" +
			" (read the points back, or repeat the write with the same timestamps)"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := fakecluster.New(t, fakecluster.Options{})
			c.OnPropose(func(string, uint32) error { return tt.answer })
			_, err := c.Nodes[tt.node].Gateway.Write(t.Context(), []storage.Point{point(deviceIn(3), 1, 1)}, 0) // n1 leads group 3
			if e := wantCode(t, err, tt.code); by.ReplaceAllString(e.Error(), "") != tt.want || !errors.Is(err, tt.answer) && tt.node == 0 {
				t.Errorf("from n%d: %s", tt.node+1, e)
			}
		})
	}
}

// What time was spent on is told, not that it ended in the middle of another try.
func TestWriteWhoseTimeEndsSaysWhatItWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fakecluster.New(t, fakecluster.Options{})
		c.OnPropose(func(string, uint32) error { return fmt.Errorf("too few live replicas: %w", gateway.ErrNotApplied) })
		var tries atomic.Int32
		c.OnCall(func(_, to string, m gateway.Method) (before, after error) {
			if m != gateway.MethodWrite || tries.Add(1) <= 2 {
				return nil, nil
			}
			time.Sleep(time.Minute) // virtual: longer than the write may take
			return fmt.Errorf("%s: %w: %w", to, gateway.ErrUnreachable, context.DeadlineExceeded), nil
		})
		_, err := c.Nodes[1].Gateway.Write(t.Context(), []storage.Point{point(deviceIn(3), 1, 1)}, 0)
		if e := wantCode(t, err, api.NotApplied); !strings.Contains(e.Error(), "too few live replicas") || tries.Load() < 3 {
			t.Errorf("after %d tries: %s", tries.Load(), e)
		}
	})
}

// deviceIn finds a device of a group.
func deviceIn(group uint32) string {
	for i := 0; ; i++ {
		if device := fmt.Sprint("in", i); groupOf(device) == group {
			return device
		}
	}
}
