package apiclient

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// baseOf turns what somebody gave as the address of a node into the URL that paths are appended to: host:port, or a
// URL, whose port may be that of its scheme and whose path is a proxy's. Nothing is resolved or dialled.
func baseOf(address string) (string, error) {
	text := address
	if !strings.Contains(address, "://") {
		if err := api.CheckHostPort(address); err != nil {
			return "", err
		}
		text = "http://" + address
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("address %q is not host:port", address)
	case u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("address %q has more than a host, a port and a path", address)
	case u.Port() != "" || strings.HasSuffix(u.Host, ":"):
		if api.CheckHostPort(u.Host) != nil {
			return "", fmt.Errorf("address %q has no port within 1 and 65535", address)
		}
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}
