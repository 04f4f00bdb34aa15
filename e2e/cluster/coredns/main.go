// Command coredns is CoreDNS with only the plugins that serve a cluster's names, so that it builds without the
// client libraries of every cloud.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

// The order in which the plugins see a query.
var directives = []string{"bind", "ready", "errors", "log", "cache", "kubernetes", "template"}

func main() {
	dnsserver.Directives = directives
	coremain.Run()
}
