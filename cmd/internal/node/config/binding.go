package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// binding connects a setting to its field of Config: set parses, checks, and stores; get prints what is stored in a
// form that set accepts. The errors of set complete the sentence "<where it was given>: <key>: ...".
type binding struct {
	set func(*Config, string) error
	get func(*Config) string
}

func text(check func(string) error, field func(*Config) *string) binding {
	return binding{
		set: func(c *Config, v string) error {
			if err := check(v); err != nil {
				return err
			}
			*field(c) = v
			return nil
		},
		get: func(c *Config) string { return *field(c) },
	}
}

// list takes comma-separated items; Load joins repeated flags and YAML sequences with commas before it calls set.
func list(check func(string) error, field func(*Config) *[]string) binding {
	return binding{
		set: func(c *Config, v string) error {
			items := []string{}
			for item := range strings.SplitSeq(v, ",") {
				item = strings.TrimSpace(item)
				if item == "" {
					continue
				}
				if err := check(item); err != nil {
					return err
				}
				items = append(items, item)
			}
			*field(c) = items
			return nil
		},
		get: func(c *Config) string { return strings.Join(*field(c), ",") },
	}
}

func integer[T int | uint32](low, high T, field func(*Config) *T) binding {
	return binding{
		set: func(c *Config, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not a whole number", v)
			}
			if n < int64(low) || n > int64(high) {
				return fmt.Errorf("%d is not within %d and %d", n, low, high)
			}
			*field(c) = T(n)
			return nil
		},
		get: func(c *Config) string { return fmt.Sprint(*field(c)) },
	}
}

func boolean(field func(*Config) *bool) binding {
	return binding{
		set: func(c *Config, v string) error {
			switch v {
			case "true":
				*field(c) = true
			case "false":
				*field(c) = false
			default:
				return fmt.Errorf("%q is neither true nor false", v)
			}
			return nil
		},
		get: func(c *Config) string { return strconv.FormatBool(*field(c)) },
	}
}

func size(low int64, field func(*Config) *int64) binding {
	return binding{
		set: func(c *Config, v string) error {
			n, err := ParseSize(v)
			if err != nil {
				return err
			}
			if n < low {
				return fmt.Errorf("%s is below %s, the least that works", FormatSize(n), FormatSize(low))
			}
			*field(c) = n
			return nil
		},
		get: func(c *Config) string { return FormatSize(*field(c)) },
	}
}

// noneOr is a size of at least low, or 0.
func noneOr(low int64, field func(*Config) *int64) binding {
	b, none := size(low, field), size(0, field)
	return binding{get: b.get, set: func(c *Config, v string) error {
		if n, err := ParseSize(v); err == nil && n == 0 {
			return none.set(c, v)
		}
		return b.set(c, v)
	}}
}

func duration(low, high time.Duration, field func(*Config) *time.Duration) binding {
	return binding{
		set: func(c *Config, v string) error {
			d, err := ParseDuration(v)
			if err != nil {
				return err
			}
			if d < low || d > high {
				return fmt.Errorf("%s is not within %s and %s", FormatDuration(d), FormatDuration(low), FormatDuration(high))
			}
			*field(c) = d
			return nil
		},
		get: func(c *Config) string { return FormatDuration(*field(c)) },
	}
}
