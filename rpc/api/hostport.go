package api

import (
	"fmt"
	"net"
	"strconv"
)

// CheckHostPort says what is wrong with an address that clients dial: host:port,
// the port a number above 0. Nothing is resolved.
func CheckHostPort(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q is not host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address %q has no port within 1 and 65535", address)
	}
	return nil
}
