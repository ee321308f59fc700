package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/config"
)

var update = flag.Bool("update", false, "write the golden file anew")

// TestHelp compares all that --help says with help.golden.
func TestHelp(t *testing.T) {
	var said strings.Builder
	commands := [][]string{{}}
	for _, c := range rootCommand().Commands() {
		commands = append(commands, []string{c.Name()})
	}
	for _, args := range commands {
		args = append(args, "--help")
		fmt.Fprintf(&said, "$ orbitd %s\n%s\n", strings.Join(args, " "), must(t, "", args...))
	}
	compare(t, "testdata/help.golden", said.String())
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../man/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), `\-`, "-")
}

// TestManHasEveryOption: the page of the command line is complete.
func TestManHasEveryOption(t *testing.T) {
	sections := strings.Split(page(t, "orbitd.8"), "\n.S")
	for _, c := range rootCommand().Commands() {
		own := ""
		for _, s := range sections {
			if strings.HasPrefix(s, "S orbitd "+c.Name()+" ") {
				own += s
			}
		}
		if own == "" {
			t.Errorf("%s has no section", c.Name())
		}
		if takesServer(c) {
			_, common, _ := strings.Cut(page(t, "orbitd.8"), ".SS Options of pub and sub")
			own += common
		}
		for _, flag := range regexp.MustCompile(`(?m)^ .{5}--[a-z-]+`).FindAllString(c.LocalFlags().FlagUsages(), -1) {
			flag = flag[6:]
			if flag != "--config" && !strings.Contains(own, flag) {
				t.Errorf("%s: %s is missing", c.Name(), flag)
			}
		}
	}
}

func takesServer(c *cobra.Command) bool { return c.Flags().Lookup("url") != nil }

// TestManHasEveryKey: every section of the configuration's page has the keys
// that the configuration knows there.
func TestManHasEveryKey(t *testing.T) {
	text := page(t, "orbitd.toml.5")
	for section, start := range map[string]string{
		"[server]": "[server]\n", "[tls]": "[tls]\n", "[engine]": "[engine]\n", "[session]": "[session]\n", "[log]": "[log]\n",
		"[[auth]]":    "[[auth]]\ntype = \"token\"\n",
		"[app.NAME]":  "[app.chat]\n",
		"[[channel]]": "[[channel]]\nmatch = \"/x\"\n",
	} {
		_, own, _ := strings.Cut(text, "\n.SH "+section+"\n")
		own, _, _ = strings.Cut(own, "\n.SH ")
		for _, key := range known(t, start) {
			if !regexp.MustCompile(`(?m)^\\fB` + key + `\\fR \(`).MatchString(own) {
				t.Errorf("%s: %s is missing", section, key)
			}
		}
	}
	for _, start := range []string{"[app.chat.quota]\n", "[[channel]]\nmatch = \"/x\"\n[channel.retain]\n", "[[auth]]\ntype = \"file\"\n", "[[auth]]\ntype = \"certificate\"\n"} {
		for _, key := range known(t, start) {
			if !strings.Contains(text, key) {
				t.Errorf("%q: %s is missing", start, key)
			}
		}
	}
}

// known asks for the keys: the hint about an unknown one lists them.
func known(t *testing.T, start string) []string {
	t.Helper()
	_, err := config.Parse("orbitd.toml", []byte(start+"unlike-any-other-key = 1\n"), config.Options{})
	if err == nil {
		t.Fatalf("%q: an unknown key is accepted", start)
	}
	_, list, found := strings.Cut(err.Error(), "hint: known here: ")
	if !found {
		t.Fatalf("%q: %v", start, err)
	}
	list, _, _ = strings.Cut(list, "\n")
	return strings.Split(list, ", ")
}
