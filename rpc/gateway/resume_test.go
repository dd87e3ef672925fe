package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// An answer breaks off in the middle of a series, twice, and goes on elsewhere:
// every row comes once and in order, whether it was held back or had gone out.
func TestAnswerThatBrokeOffGoesOnElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name       string
		devices    []string
		descending bool
		streaming  bool
	}{
		{"held back", nil, false, false},
		{"handed on", nil, false, true},
		{"handed on, newest first", nil, true, true},
		{"handed on, of named devices in their order", []string{"bb", "a", "c"}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			q := &Query{Database: "d", Collection: "c", Devices: tt.devices, Descending: tt.descending}
			r := &reading{q: q, total: 1, out: collector{q: q, streaming: tt.streaming, rows: func(device string, c *blocks.Columns) error {
				for _, at := range c.Times {
					got = append(got, fmt.Sprintf("%s%d", device, at))
				}
				return nil
			}}}
			order := []string{"a", "c", "bb"} // that of the keys
			if tt.devices != nil {
				order = tt.devices
			}
			times := []int64{1, 2, 3, 4, 5}
			if tt.descending {
				times = []int64{5, 4, 3, 2, 1}
			}
			var want []string
			for _, device := range order {
				for _, at := range times {
					want = append(want, fmt.Sprintf("%s%d", device, at))
				}
			}
			read := func(rows int) { // chunks of two and three rows, up to some rows of the whole
				for i, device := range order {
					for _, chunk := range [][]int64{times[:2], times[2:]} {
						if rows -= len(chunk); rows < 0 {
							return
						}
						if err := r.add(device, &blocks.Columns{Times: chunk}); err != nil {
							t.Fatal(i, err)
						}
					}
				}
			}
			read(7)
			r.broke(0)
			read(2) // less than before: nothing new
			r.broke(0)
			read(12)
			r.broke(0)
			read(15)
			if err := r.out.release(); err != nil {
				t.Fatal(err)
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}
