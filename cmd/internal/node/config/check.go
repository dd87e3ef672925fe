package config

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// The rules of single values. Rules between values stand in validate.go.

var (
	nodeNamePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	labelPattern    = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)
)

func anyText(string) error { return nil }

func notEmpty(v string) error {
	if v == "" {
		return errors.New("must not be empty")
	}
	return nil
}

// nodeName has no dot: a server id is name.incarnation.generation.
func nodeName(v string) error {
	if !nodeNamePattern.MatchString(v) {
		return fmt.Errorf("%q is not 1 to 64 of A-Z a-z 0-9 _ -", v)
	}
	return nil
}

func labelName(v string) error {
	if !labelPattern.MatchString(v) {
		return fmt.Errorf("%q is not 1 to 64 of A-Z a-z 0-9 _ . : -", v)
	}
	return nil
}

func zoneName(v string) error {
	if v == "" {
		return nil
	}
	return labelName(v)
}

func hostPort(v string) error {
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("%q is not host:port", v)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port within 0 and 65535", v)
	}
	return nil
}

func hostOnly(v string) error {
	if v == "" || net.ParseIP(v) != nil {
		return nil
	}
	if strings.ContainsAny(v, ":/ ") {
		return fmt.Errorf("%q is not a host without a port", v)
	}
	return nil
}

func oneOf(words ...string) func(string) error {
	return func(v string) error {
		for _, w := range words {
			if v == w {
				return nil
			}
		}
		return fmt.Errorf("%q is not %s", v, strings.Join(words, " or "))
	}
}

func onlySync(v string) error {
	if v == "async" {
		return errors.New("async is refused: an acknowledgement always means a quorum")
	}
	return oneOf("sync")(v)
}
