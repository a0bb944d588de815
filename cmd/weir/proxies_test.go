package main

import (
	"slices"
	"testing"

	"github.com/weir-project/weir/collectors/realip"
	"github.com/weir-project/weir/internal/config"
)

// The configuration knows the names that the collectors know.
func TestProxyNames(t *testing.T) {
	if got, want := config.ProxyNames(), realip.Names(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
