package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// read is a file's text; the test ends where there is none.
func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// bundled is the plugin's folder as make plugin makes it, for this architecture.
func bundled(t *testing.T, folder string) string {
	t.Helper()
	build := exec.Command("../build.sh", folder)
	build.Env = append(os.Environ(), "WEIR_ARCHITECTURES=amd64", "GOFLAGS=-trimpath")
	if text, err := build.CombinedOutput(); err != nil {
		if _, npm := exec.LookPath("npm"); npm != nil && os.Getenv("CI") != "true" {
			t.Skipf("npm is not there: %s", text)
		}
		t.Fatalf("build.sh: %v: %s", err, text)
	}
	return folder
}

// TestInstall puts the built plugin and the provisioning into a Grafana as Debian's package
// lays it out, twice: everything that Grafana reads then is there and names what is there,
// what a person has changed stays, and the binary answers where Grafana would start it.
func TestInstall(t *testing.T) {
	root := t.TempDir()
	for _, folder := range []string{"etc/grafana/provisioning/alerting", "etc/grafana/provisioning/datasources", "var/lib/grafana"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	plugin := bundled(t, filepath.Join(t.TempDir(), "weir-weir-datasource"))
	install := func(want bool, args ...string) string {
		t.Helper()
		text, err := exec.Command("../install.sh", args...).CombinedOutput()
		if (err == nil) != want {
			t.Fatalf("install.sh %v: %v: %s", args, err, text)
		}
		return string(text)
	}
	if said := install(false, t.TempDir(), root); !strings.Contains(said, "holds no plugin") {
		t.Errorf("a folder without a plugin: %s", said)
	}
	if said := install(false, plugin, t.TempDir()); !strings.Contains(said, "install Grafana first") {
		t.Errorf("no Grafana: %s", said)
	}
	if said := install(true, plugin, root); !strings.Contains(said, "allow_loading_unsigned_plugins = weir-weir-datasource") {
		t.Errorf("what is left: %s", said)
	}
	etc, home := filepath.Join(root, "etc/grafana"), filepath.Join(root, "var/lib/grafana/plugins/weir-weir-datasource")

	var about struct{ ID, Executable string }
	if err := json.Unmarshal([]byte(read(t, home, "plugin.json")), &about); err != nil || about.ID != pluginID {
		t.Fatalf("%+v, %v", about, err)
	}
	started, err := startPlugin(filepath.Join(home, about.Executable+"_linux_amd64"))
	if err != nil {
		t.Fatal(err)
	}
	started.client.Kill()
	if !strings.HasPrefix(read(t, home, "module.js"), "define(") || read(t, home, "img/weir.svg") == "" || read(t, home, "LICENSE") == "" {
		t.Error("the front end, the logo or the licence is not there")
	}

	var sources struct {
		Datasources []struct {
			UID, Type      string
			SecureJSONData map[string]string `yaml:"secureJsonData"`
		}
	}
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	if err := yaml.Unmarshal([]byte(read(t, etc, "provisioning/datasources/weir.yaml")), &sources); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(read(t, etc, "provisioning/dashboards/weir.yaml")), &providers); err != nil {
		t.Fatal(err)
	}
	if s := sources.Datasources; len(s) != 1 || s[0].UID != uid || s[0].Type != pluginID || s[0].SecureJSONData["clickhousePassword"] != "$WEIR_SQL_TOKEN" {
		t.Errorf("the data source: %+v", s)
	}
	shipped, _ := filepath.Glob("../grafana/dashboards/*.json")
	installed, _ := filepath.Glob(filepath.Join(root, providers.Providers[0].Options.Path, "*.json"))
	name := func(paths []string) (names []string) {
		for _, p := range paths {
			names = append(names, filepath.Base(p))
		}
		return names
	}
	if len(shipped) != 6 || !slices.Equal(name(shipped), name(installed)) {
		t.Errorf("dashboards: %v, want %v", installed, shipped)
	}
	var rules alertFile
	if err := yaml.Unmarshal([]byte(read(t, etc, "provisioning/alerting/weir-rules.yaml")), &rules); err != nil || len(rules.Groups) != 1 {
		t.Fatalf("the rules: %v", err)
	}
	for _, r := range rules.Groups[0].Rules {
		uids := read(t, filepath.Join(root, providers.Providers[0].Options.Path), strings.TrimPrefix(r.Annotations["__dashboardUid__"], "weir-")+".json")
		if !strings.Contains(uids, `"uid": "`+r.Annotations["__dashboardUid__"]+`"`) {
			t.Errorf("%s leads to the dashboard %q", r.UID, r.Annotations["__dashboardUid__"])
		}
	}
	var contacts struct {
		ContactPoints []struct{ Name string } `yaml:"contactPoints"`
		Policies      []struct{ Receiver string }
	}
	if err := yaml.Unmarshal([]byte(read(t, etc, "provisioning/alerting/weir-contacts.yaml.example")), &contacts); err != nil || len(contacts.ContactPoints) == 0 || contacts.Policies[0].Receiver != contacts.ContactPoints[0].Name {
		t.Errorf("the contacts: %+v, %v", contacts, err)
	}

	// Once more: what is weir's is replaced, what is the person's stays.
	mine := filepath.Join(etc, "provisioning/datasources/weir.yaml")
	for path, text := range map[string]string{mine: "mine", filepath.Join(home, "old"): "x", filepath.Join(etc, "weir/dashboards/old.json"): "x"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install(true, plugin, root)
	if read(t, mine) != "mine" {
		t.Error("the data source that a person changed was replaced")
	}
	for _, gone := range []string{filepath.Join(home, "old"), filepath.Join(etc, "weir/dashboards/old.json"), home + ".new"} {
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
}
