package gateway_test

import (
	"errors"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

func TestWholeAnswersAreWholeOrNone(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	fill(t, c, 2, 12_000) // dev-0, dev-1: 192 KB each
	for name, tt := range map[string]struct {
		devices []string
		room    int
		want    int // rows; 0: too large
	}{
		"an answer that fits":        {[]string{"dev-0"}, 1 << 20, 12_000},
		"two that do not, together":  {[]string{"dev-0", "dev-1"}, 1 << 20, 0},
		"one for which is no room":   {[]string{"dev-0"}, 100 << 10, 0},
		"one that nobody can expect": {nil, 1 << 20, 0},
	} {
		for _, leader := range []string{"n1", "n2"} { // read here, or by a call
			for group := range uint32(fakecluster.TotalGroups) {
				c.SetLeader(group, leader)
			}
			rows, left := 0, tt.room
			_, err := c.Nodes[0].Gateway.QueryWhole(t.Context(), all(tt.devices...), func(bytes int) bool { left -= bytes; return left >= 0 },
				func(_ string, c *blocks.Columns) error { rows += c.Len(); return nil })
			if errors.Is(err, gateway.ErrAnswerTooLarge) != (tt.want == 0) || tt.want > 0 && err != nil || rows != tt.want {
				t.Errorf("%s, leader %s: %d rows, %v", name, leader, rows, err)
			}
		}
	}
}
