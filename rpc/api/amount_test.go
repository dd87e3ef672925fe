package api

import (
	"errors"
	"testing"
)

func TestAmountsIn(t *testing.T) {
	for text, want := range map[string]int64{"64MiB": 64 << 20, "64MiB/s": 64 << 20, "1.5kB": 1500, "4096": 4096, "0": 0, "2 GiB": 2 << 30, "7B": 7} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "fast", "-1", "-1MiB", "+1", "1e3", "0x10", "NaN", "Inf", "64Mi", "2000000TiB", "1..2", "/s", "64 MiB/h"} {
		if got, err := ParseSize(text); !errors.Is(err, ErrAmount) {
			t.Errorf("size %q was read as %d, %v", text, got, err)
		}
	}
	for text, want := range map[string]float64{"50%": 0.5, "0%": 0, "0": 0, "0.25": 0.25, "100%": 1, "1": 1, "12.5 %": 0.125} {
		if got, err := ParseShare(text); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "%", "50", "101%", "-1%", "half", "NaN", "1e-3", "0.5%%"} {
		if got, err := ParseShare(text); !errors.Is(err, ErrAmount) {
			t.Errorf("share %q was read as %v, %v", text, got, err)
		}
	}
}
