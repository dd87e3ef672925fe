package apiclient

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// baseOf turns what somebody gave as the address of a node into the URL that paths are appended to: host:port, or a
// URL, whose port may be that of its scheme and whose path is a proxy's. Nothing is resolved or dialled.
func baseOf(address string) (string, error) {
	text := address
	if !strings.Contains(address, "://") {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return "", fmt.Errorf("address %q is not host:port", address)
		}
		text = "http://" + address
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("address %q is not host:port", address)
	case u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("address %q has more than a host, a port and a path", address)
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("address %q has no port within 1 and 65535", address)
		}
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}
