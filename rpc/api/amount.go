package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrAmount is wrapped by every error of ParseSize and ParseShare: the text is
// no such amount. Show it to whoever wrote the text.
var ErrAmount = errors.New("not an amount")

// maxSize bounds what ParseSize takes: one exbibyte.
const maxSize = 1 << 60

// sizeUnits from the longest suffix to the shortest, so that MiB is not read as B.
var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// ParseSize reads a number of bytes, or of bytes a second: 64MiB, 1.5GB,
// 64MiB/s, 4096.
func ParseSize(s string) (int64, error) {
	number, factor := strings.TrimSuffix(s, "/s"), 1.0
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := decimal(number)
	if err != nil || n*factor > maxSize {
		return 0, fmt.Errorf("%q is %w of bytes (write 64MiB, 1GB, or 4096)", s, ErrAmount)
	}
	return int64(n * factor), nil
}

// ParseShare reads a part of a whole: 50% or 0.5. It gives 0 to 1.
func ParseShare(s string) (float64, error) {
	text, percent := strings.CutSuffix(s, "%")
	n, err := decimal(strings.TrimSpace(text))
	if percent {
		n /= 100
	}
	if err != nil || n > 1 {
		return 0, fmt.Errorf("%q is %w from 0%% to 100%% (write 50%% or 0.5)", s, ErrAmount)
	}
	return n, nil
}

// decimal reads digits with a point: no sign, no exponent, no infinity.
func decimal(s string) (float64, error) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, ErrAmount
	}
	return strconv.ParseFloat(s, 64)
}
