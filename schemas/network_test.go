package schemas

import "testing"

func TestNetworkOfADecision(t *testing.T) {
	for _, c := range []struct {
		scope       Scope
		value, want string // "" is an error
	}{
		{ScopeClient, "192.0.2.7", "192.0.2.7/32"},
		{ScopeClient, "192.0.2.7/32", "192.0.2.7/32"},
		{ScopeClient, "::ffff:192.0.2.7", "192.0.2.7/32"},
		{ScopeClient, "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		{ScopeClient, "2001:db8:1:2::/64", "2001:db8:1:2::/64"},
		{ScopeClient, "192.0.2.7/8", ""},
		{ScopeClient, "2001:db8::/48", ""},
		{ScopeClient, "0.0.0.0", ""},
		{ScopeClient, "::1", ""},
		{ScopeClient, "255.255.255.255", ""},
		{ScopeClient, "", ""},
		{ScopePrefix, "192.0.2.7/24", "192.0.2.0/24"},
		{ScopePrefix, "2001:db8:ffff::/32", "2001:db8::/32"},
		{ScopePrefix, "10.0.0.0/8", "10.0.0.0/8"},
		{ScopePrefix, "10.0.0.0/7", ""},
		{ScopePrefix, "2000::/15", ""},
		{ScopePrefix, "0.0.0.0/0", ""},
		{ScopePrefix, "::/0", ""},
		{ScopePrefix, "::ffff:192.0.2.0/120", ""},
		{ScopePrefix, "192.0.2.7", ""},
		{ScopeSite, "192.0.2.7", ""},
		{ScopeSignature, "192.0.2.7", ""},
	} {
		got, err := (&Decision{Scope: c.scope, Value: c.value}).Network()
		if err != nil && c.want != "" || err == nil && got.String() != c.want {
			t.Errorf("%s %q is %v, %v, want %q", c.scope, c.value, got, err, c.want)
		}
	}
}
