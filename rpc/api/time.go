package api

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// NoTime stands in a point's Time for "the writer gave none": the node that
// accepts the point stamps it. It is the smallest int64, which is no valid
// time of a point for that reason.
const NoTime int64 = -1 << 63

// ErrTime is wrapped by every error of ParseTime: the text is no time.
var ErrTime = errors.New("not a time")

// Time is a moment as the API shows it: RFC 3339, UTC with Z, up to nine
// decimals without trailing zeros, and null for the zero value.
type Time struct{ time.Time }

// At wraps a moment; the zero time stays null.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC()}
}

// MarshalJSON writes the moment, or null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return strconv.AppendQuote(nil, t.UTC().Format(time.RFC3339Nano)), nil
}

// UnmarshalJSON reads what MarshalJSON writes, and any RFC 3339.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Time{}
		return nil
	}
	text, err := strconv.Unquote(string(b))
	if err != nil {
		return fmt.Errorf("time %s: %w", b, ErrTime)
	}
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("time %q: %w", text, ErrTime)
	}
	*t = At(parsed)
	return nil
}

// FormatTime writes nanoseconds since 1970 as the API shows a time.
func FormatTime(ns int64) string { return string(AppendTime(nil, ns)) }

// AppendTime appends what FormatTime gives.
func AppendTime(dst []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(dst, time.RFC3339Nano)
}

// ParseTime reads a time as users write it: an integer is nanoseconds since
// 1970, anything else is RFC 3339 with up to nine decimals.
func ParseTime(s string) (int64, error) {
	if isInteger(s) {
		ns, err := strconv.ParseInt(s, 10, 64)
		if err != nil || ns == NoTime {
			return 0, fmt.Errorf("time %q: %w: outside the range of 64-bit nanoseconds", s, ErrTime)
		}
		return ns, nil
	}
	// time.Parse takes a comma for the decimal point and cuts digits beyond
	// the ninth; RFC 3339 and the contract know neither.
	if dot := strings.IndexByte(s, '.'); strings.IndexByte(s, ',') >= 0 || dot >= 0 && digits(s[dot+1:]) > 9 {
		return 0, fmt.Errorf("time %q: %w: at most nine decimals behind a point", s, ErrTime)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("time %q: %w: want RFC 3339 (2026-01-31T12:00:00Z) or integer nanoseconds", s, ErrTime)
	}
	return Nanoseconds(t)
}

// Nanoseconds gives the 64-bit nanoseconds of t, or an error where they do
// not reach (before 1677 or after 2262).
func Nanoseconds(t time.Time) (int64, error) {
	ns := t.UnixNano()
	if ns == NoTime || !time.Unix(0, ns).Equal(t) {
		return 0, fmt.Errorf("time %s: %w: outside 1677-09-21 to 2262-04-11", t.Format(time.RFC3339Nano), ErrTime)
	}
	return ns, nil
}

func isInteger(s string) bool {
	if len(s) > 1 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// digits counts the decimal digits that s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
