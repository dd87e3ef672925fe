package storage

import (
	"fmt"
	"math"
	"unicode"
	"unicode/utf8"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// Sizes of names, in bytes.
const (
	MaxDatabaseName   = 64
	MaxCollectionName = 64
	MaxDeviceName     = 256
	MaxFieldName      = 256
)

// Limits bounds what one request may bring. The zero value of a member means its default.
type Limits struct {
	FieldsPerPoint int // default 256
	StringBytes    int // default 64 KiB
	BatchPoints    int // default 10,000
	BatchBytes     int // default 8 MiB
	ProposalBytes  int // default 512 KiB; bigger ones are split
}

// DefaultLimits are those of a cluster that configures nothing.
var DefaultLimits = Limits{
	FieldsPerPoint: 256,
	StringBytes:    64 << 10,
	BatchPoints:    10_000,
	BatchBytes:     8 << 20,
	ProposalBytes:  512 << 10,
}

// WithDefaults fills the members that are zero.
func (l Limits) WithDefaults() Limits {
	for _, m := range []struct {
		v *int
		d int
	}{
		{&l.FieldsPerPoint, DefaultLimits.FieldsPerPoint},
		{&l.StringBytes, DefaultLimits.StringBytes},
		{&l.BatchPoints, DefaultLimits.BatchPoints},
		{&l.BatchBytes, DefaultLimits.BatchBytes},
		{&l.ProposalBytes, DefaultLimits.ProposalBytes},
	} {
		if *m.v == 0 {
			*m.v = m.d
		}
	}
	return l
}

// ValidateDatabase checks a database name.
func ValidateDatabase(name string) error { return validateToken("database", name, MaxDatabaseName) }

// ValidateCollection checks a collection name.
func ValidateCollection(name string) error {
	return validateToken("collection", name, MaxCollectionName)
}

func validateToken(what, name string, max int) error {
	reason := ""
	switch {
	case name == "":
		reason = "is empty"
	case len(name) > max:
		reason = fmt.Sprintf("has %d bytes", len(name))
	default:
		for i := 0; i < len(name); i++ {
			if !tokenByte(name[i]) {
				reason = fmt.Sprintf("contains %q", name[i:i+1])
				break
			}
		}
	}
	if reason == "" {
		return nil
	}
	return &InvalidError{What: what, Value: short(name), Reason: reason,
		Hint: fmt.Sprintf("1 to %d characters of A-Z a-z 0-9 _ . : -", max)}
}

func tokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == ':' || c == '-'
}

// ValidateDevice checks a device id: any 1 to 256 bytes of UTF-8.
func ValidateDevice(name string) error {
	if plainASCII(name, MaxDeviceName) {
		return nil
	}
	return validateText("device", name, MaxDeviceName, true)
}

// ValidateField checks a field name.
func ValidateField(name string) error {
	if plainASCII(name, MaxFieldName) {
		return nil
	}
	return validateText("field", name, MaxFieldName, false)
}

// plainASCII is the fast way out for nearly every name.
func plainASCII(name string, max int) bool {
	if name == "" || len(name) > max {
		return false
	}
	for i := 0; i < len(name); i++ {
		if name[i] < ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return true
}

func validateText(what, name string, max int, control bool) error {
	reason := ""
	switch {
	case name == "":
		reason = "is empty"
	case len(name) > max:
		reason = fmt.Sprintf("has %d bytes", len(name))
	case !utf8.ValidString(name):
		reason = "is not UTF-8"
	case !control:
		for _, r := range name {
			if unicode.IsControl(r) {
				reason = "contains a control character"
				break
			}
		}
	}
	if reason == "" {
		return nil
	}
	hint := fmt.Sprintf("1 to %d bytes of UTF-8", max)
	if !control {
		hint += " without control characters"
	}
	return &InvalidError{What: what, Value: short(name), Reason: reason, Hint: hint}
}

// ValidateSeries checks the three names of a series.
func ValidateSeries(s Series) error {
	if err := ValidateDatabase(s.Database); err != nil {
		return err
	}
	if err := ValidateCollection(s.Collection); err != nil {
		return err
	}
	return ValidateDevice(s.Device)
}

// ValidateValue checks one value: NaN, Inf and over-long strings are refused.
func ValidateValue(field string, v blocks.Value, l Limits) error {
	switch v.Kind {
	case blocks.Float64:
		if f := math.Float64frombits(v.Num); math.IsNaN(f) || math.IsInf(f, 0) {
			return &InvalidError{What: "value of field", Value: short(field), Reason: fmt.Sprintf("is %v", f), Hint: "finite numbers only"}
		}
	case blocks.String:
		if len(v.Str) > l.StringBytes {
			return &InvalidError{What: "value of field", Value: short(field), Reason: fmt.Sprintf("has %d bytes", len(v.Str)),
				Hint: fmt.Sprintf("strings of at most %d bytes", l.StringBytes)}
		}
		if !utf8.ValidString(v.Str) {
			return &InvalidError{What: "value of field", Value: short(field), Reason: "is not UTF-8", Hint: "strings are UTF-8"}
		}
	case blocks.Int64, blocks.Uint64, blocks.Bool:
	default:
		return &InvalidError{What: "value of field", Value: short(field), Reason: fmt.Sprintf("has kind %d", v.Kind),
			Hint: "float64, int64, uint64, bool or string"}
	}
	return nil
}

// ValidatePoint checks everything about a point but the existence of its database.
func ValidatePoint(p *Point, l Limits) error {
	if err := ValidateSeries(p.Series); err != nil {
		return err
	}
	switch {
	case len(p.Fields) == 0:
		return &InvalidError{What: "point", Reason: "has no field", Hint: "at least one field"}
	case len(p.Fields) > l.FieldsPerPoint:
		return &InvalidError{What: "point", Reason: fmt.Sprintf("has %d fields", len(p.Fields)), Hint: fmt.Sprintf("at most %d", l.FieldsPerPoint)}
	case p.Time > MaxTime:
		return &InvalidError{What: "time", Reason: "is out of range", Hint: "ns since 1970, below 2^63-1"}
	}
	for i := range p.Fields {
		if err := ValidateField(p.Fields[i].Name); err != nil {
			return err
		}
		if err := ValidateValue(p.Fields[i].Name, p.Fields[i].Value, l); err != nil {
			return err
		}
	}
	return nil
}

// ValidateBatch checks the size of a batch, before its points.
func ValidateBatch(points, bytes int, l Limits) error {
	if points > l.BatchPoints {
		return &InvalidError{What: "batch", Reason: fmt.Sprintf("has %d points", points), Hint: fmt.Sprintf("at most %d; send several", l.BatchPoints)}
	}
	if bytes > l.BatchBytes {
		return &InvalidError{What: "batch", Reason: fmt.Sprintf("has %d bytes", bytes), Hint: fmt.Sprintf("at most %d; send several", l.BatchBytes)}
	}
	return nil
}

func short(s string) string {
	if len(s) > 64 {
		return s[:64]
	}
	return s
}
