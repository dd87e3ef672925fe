package blocks

import (
	"math"
	"strconv"
)

// Kind is the type of a field value. The numbers are part of the block format.
type Kind uint8

// The kinds of values. Zero is no kind.
const (
	Float64 Kind = 1 + iota
	Int64
	Uint64
	Bool
	String
)

// Valid reports whether k is one of the five kinds.
func (k Kind) Valid() bool { return k >= Float64 && k <= String }

// String names the kind as the interface does: float64, int64, uint64, bool, string.
func (k Kind) String() string {
	switch k {
	case Float64:
		return "float64"
	case Int64:
		return "int64"
	case Uint64:
		return "uint64"
	case Bool:
		return "bool"
	case String:
		return "string"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Value is one field value. It is comparable: two Values are == when kind and bits are equal, so -0.0 differs from 0.0
// and a NaN equals itself. Num holds the float bits, the two's complement, the unsigned number or 0/1; Str is used by
// kind String only. The zero Value is no value.
type Value struct {
	Kind Kind
	Num  uint64
	Str  string
}

// Field is one named value of a point.
type Field struct {
	Name  string
	Value Value
}

// Float is the Value of a float64, bit for bit.
func Float(v float64) Value { return Value{Kind: Float64, Num: math.Float64bits(v)} }

// Int is the Value of an int64.
func Int(v int64) Value { return Value{Kind: Int64, Num: uint64(v)} }

// Uint is the Value of a uint64.
func Uint(v uint64) Value { return Value{Kind: Uint64, Num: v} }

// Boolean is the Value of a bool.
func Boolean(v bool) Value {
	if v {
		return Value{Kind: Bool, Num: 1}
	}
	return Value{Kind: Bool}
}

// Text is the Value of a string.
func Text(v string) Value { return Value{Kind: String, Str: v} }

// Float64 is the number of a Value of kind Float64.
func (v Value) Float64() float64 { return math.Float64frombits(v.Num) }

// Int64 is the number of a Value of kind Int64.
func (v Value) Int64() int64 { return int64(v.Num) }

// Uint64 is the number of a Value of kind Uint64.
func (v Value) Uint64() uint64 { return v.Num }

// Bool is the truth of a Value of kind Bool.
func (v Value) Bool() bool { return v.Num != 0 }

// String is the text of a Value of kind String, and for other kinds the shortest exact text of the value.
func (v Value) String() string {
	switch v.Kind {
	case Float64:
		return strconv.FormatFloat(v.Float64(), 'g', -1, 64)
	case Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case Uint64:
		return strconv.FormatUint(v.Num, 10)
	case Bool:
		return strconv.FormatBool(v.Bool())
	}
	return v.Str
}

// IsNumber reports whether the kind is Float64, Int64 or Uint64.
func (v Value) IsNumber() bool { return v.Kind == Float64 || v.Kind == Int64 || v.Kind == Uint64 }

// AsFloat is a number as float64, rounded where an integer does not fit; false for other kinds.
func (v Value) AsFloat() (float64, bool) {
	switch v.Kind {
	case Float64:
		return v.Float64(), true
	case Int64:
		return float64(v.Int64()), true
	case Uint64:
		return float64(v.Num), true
	}
	return 0, false
}
