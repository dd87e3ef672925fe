package lineproto

import (
	"bytes"
	"slices"
	"strings"
)

// NoDevice is the id of a line without tags.
const NoDevice = "_"

// tag is one tag of a line, valid until the next line is read.
type tag struct{ key, value []byte }

// deviceID gives a line's device: the value of the device tag (its commas
// escaped), then each further tag in key order as ,key=value with InfluxDB's
// escapes. Without a device tag there are only those, without tags it is _.
// Two different tag sets never give the same id.
func deviceID(dst []byte, tags []tag, names []string) []byte {
	if len(tags) == 0 {
		return append(dst, NoDevice...)
	}
	slices.SortFunc(tags, func(a, b tag) int { return bytes.Compare(a.key, b.key) })
	device := -1
	for _, name := range names {
		if device = slices.IndexFunc(tags, func(t tag) bool { return string(t.key) == name }); device >= 0 {
			break
		}
	}
	if device >= 0 {
		dst = escape(dst, tags[device].value, ",")
	}
	for i, t := range tags {
		if i == device {
			continue
		}
		dst = append(dst, ',')
		dst = escape(dst, t.key, ",= ")
		dst = append(dst, '=')
		dst = escape(dst, t.value, ",= ")
	}
	return dst
}

func escape(dst, text []byte, special string) []byte {
	for _, c := range text {
		if strings.IndexByte(special, c) >= 0 {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return dst
}
