package lineproto

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// ParsePrecision gives the unit of a timestamp by its InfluxDB name.
func ParsePrecision(name string) (time.Duration, error) {
	switch name {
	case "", "n", "ns":
		return time.Nanosecond, nil
	case "u", "us", "µ", "µs":
		return time.Microsecond, nil
	case "ms":
		return time.Millisecond, nil
	case "s":
		return time.Second, nil
	case "m":
		return time.Minute, nil
	case "h":
		return time.Hour, nil
	}
	return 0, fmt.Errorf("%w: precision %q (want ns, us, ms, s, m or h)", ErrOptions, name)
}

// scale reads an integer of a unit as nanoseconds.
func scale(text string, unit time.Duration) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("time %q: %w: want an integer of %s", text, api.ErrTime, unit)
	}
	hi, lo := bits.Mul64(magnitude(n), uint64(unit))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, fmt.Errorf("time %q: %w: outside 1677-09-21 to 2262-04-11", text, api.ErrTime)
	}
	return n * int64(unit), nil
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// localLayouts are the spellings without an offset that are read as UTC where
// no layout is given. A date without a time means 00:00 UTC.
var localLayouts = []string{
	"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
	"2006-01-02 15:04:05Z07:00", "2006/01/02 15:04:05", "2006/01/02 15:04", "2006/01/02",
}

// ParseLayout gives the reader of times for --time-layout: "" reads RFC 3339,
// dates with or without a time (as UTC) and integer nanoseconds; "rfc3339";
// "ns", "us", "ms", "s" (or unix_ns .. unix_s, unix) read integers; a text
// with % is strftime's, anything else a layout of Go's package time.
func ParseLayout(layout string) (func(string) (int64, error), error) {
	switch layout {
	case "":
		return parseAnyTime, nil
	case "rfc3339", "RFC3339":
		return api.ParseTime, nil
	case "unix":
		layout = "s"
	}
	if unit, err := ParsePrecision(strings.TrimPrefix(layout, "unix_")); err == nil {
		return func(s string) (int64, error) { return scale(s, unit) }, nil
	}
	goLayout := layout
	if strings.Contains(layout, "%") {
		var err error
		if goLayout, err = fromStrftime(layout); err != nil {
			return nil, err
		}
	}
	if _, err := time.Parse(goLayout, time.Unix(0, 0).UTC().Format(goLayout)); err != nil || !strings.ContainsAny(goLayout, "0123456789") {
		return nil, fmt.Errorf("%w: time layout %q (want 2006-01-02 15:04:05, %%Y-%%m-%%d, rfc3339, ns, us, ms or s)", ErrOptions, layout)
	}
	return func(s string) (int64, error) { return parseLayout(goLayout, s) }, nil
}

func parseLayout(layout, s string) (int64, error) {
	t, err := time.ParseInLocation(layout, s, time.UTC)
	if err != nil {
		return 0, fmt.Errorf("time %q: %w: want the layout %q", s, api.ErrTime, layout)
	}
	return api.Nanoseconds(t)
}

func parseAnyTime(s string) (int64, error) {
	ns, first := api.ParseTime(s)
	if first == nil {
		return ns, nil
	}
	if len(s) < len("2006-01-02") || strings.IndexByte(s, ',') >= 0 {
		return 0, first
	}
	for _, layout := range localLayouts {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return api.Nanoseconds(t)
		}
	}
	return 0, fmt.Errorf("time %q: %w: want RFC 3339, 2006-01-02, 2006-01-02 15:04[:05] or integer nanoseconds (or give a time layout)", s, api.ErrTime)
}

var strftime = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'M': "04", 'S': "05",
	'f': "000000", 'L': "000", 'N': "000000000", 'p': "PM", 'z': "-0700", 'Z': "MST", 'b': "Jan", 'B': "January",
	'a': "Mon", 'A': "Monday", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", '%': "%",
}

func fromStrftime(layout string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(layout); i++ {
		if layout[i] != '%' {
			out.WriteByte(layout[i])
			continue
		}
		i++
		if i == len(layout) {
			return "", fmt.Errorf("%w: time layout %q ends in %%", ErrOptions, layout)
		}
		part, ok := strftime[layout[i]]
		if !ok {
			return "", fmt.Errorf("%w: time layout %q: %%%c is not known", ErrOptions, layout, layout[i])
		}
		out.WriteString(part)
	}
	return out.String(), nil
}
