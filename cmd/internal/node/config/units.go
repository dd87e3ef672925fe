package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sizeUnits from the longest suffix to the shortest, so that "MiB" is not read as "B".
var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1},
}

// ParseSize reads a number of bytes: 1GiB, 64MiB, 1.5GB, 4096.
func ParseSize(s string) (int64, error) {
	number, factor := s, 1.0
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.ContainsAny(number, "xXpPnNiI_") {
		return 0, fmt.Errorf("%q is not a size (write 64MiB, 1GiB, or a number of bytes)", s)
	}
	if n < 0 || n*factor > maxBytes {
		return 0, fmt.Errorf("%q is not within 0 and 1EiB", s)
	}
	return int64(n * factor), nil
}

// FormatSize writes a number of bytes so that ParseSize returns the same number.
func FormatSize(n int64) string {
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// ParseDuration reads what time.ParseDuration reads, and days and weeks: 90d, 2w, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	wrong := func() (time.Duration, error) {
		return 0, fmt.Errorf("%q is not a duration (write 500ms, 15s, 24h, or 90d)", s)
	}
	rest, total := s, time.Duration(0)
	for _, u := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * day}, {"d", day}} {
		number, after, found := strings.Cut(rest, u.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return wrong()
		}
		if n > uint64(maxDuration/u.length) {
			return 0, fmt.Errorf("%q is longer than %s", s, FormatDuration(maxDuration))
		}
		total, rest = total+time.Duration(n)*u.length, after
		if rest == "" {
			return total, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || (total > 0 && d < 0) {
		return wrong()
	}
	if d > maxDuration-total {
		return 0, fmt.Errorf("%q is longer than %s", s, FormatDuration(maxDuration))
	}
	return total + d, nil
}

// maxDuration bounds every duration that is read: 36,500 days.
const maxDuration = 36_500 * day

// FormatDuration writes d so that ParseDuration returns the same: whole days above two as 90d, the rest as Go does,
// without zero parts at the end (24h, not 24h0m0s).
func FormatDuration(d time.Duration) string {
	if d > 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
