package raftgroup

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRootOfACutThatDoesNotComeNamesItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 1, nil)
		c.bear(1, 7)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _, err := c.leader(7).Root(ctx, "no-such")
		if !errors.Is(err, context.DeadlineExceeded) || strings.Count(err.Error(), "no-such") != 1 || !strings.HasPrefix(err.Error(), "group 7: ") {
			t.Error(err)
		}
	})
}
