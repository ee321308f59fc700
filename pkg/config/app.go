package config

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
)

// readApps reads the [app.NAME] tables, by name.
func readApps(t *table, c *Config) []App {
	var apps []App
	for _, name := range slices.Sorted(maps.Keys(t.values)) {
		label := fmt.Sprintf("app %q: ", name)
		if err := checkApp(name); err != nil {
			t.get(name)
			t.doc.fail(t.lineOf(name), label+err.Error(), `write the first segment of its channels, as in [app.chat]`)
			continue
		}
		apps = append(apps, readApp(t.sub(name, label, `{ auth = ["file"] }`), name, c))
	}
	return apps
}

// checkApp returns an error if name is not the first segment of a channel that
// is not the server's own.
func checkApp(name string) error {
	parsed, err := channel.Parse("/" + name)
	switch {
	case strings.Contains(name, "/"):
		return fmt.Errorf("an application's name is one segment, without a slash")
	case err != nil:
		return err
	case parsed.Reserved():
		return fmt.Errorf(`names that begin with "$" are the server's own`)
	}
	return nil
}

func readApp(t *table, name string, c *Config) App {
	a := App{Name: name, Auth: t.realm(c.authNames())}
	origins, ok := t.origins("origins")
	if a.Origins = origins; !ok {
		a.Origins = c.Server.Origins
	}
	q := t.sub("quota", t.label+"quota.", `{ connections = 50_000, sessions = 100_000, publish_rate = 5_000, stored = "10GiB" }`)
	a.Quota = Quota{
		Connections: q.number("connections", 0, 1, math.MaxInt32),
		Sessions:    q.number("sessions", 0, 1, math.MaxInt32),
		PublishRate: q.number("publish_rate", 0, 1, math.MaxInt32),
		Stored:      q.size("stored", 0, mib, 1024*tib),
	}
	q.done()
	t.done()
	if s, n := a.Quota.Sessions, a.Quota.Connections; s > 0 && n > s {
		q.fail("sessions", "write at least as many as connections: each of them has a session", "%d is less than the %d connections", s, n)
	}
	return a
}

// readRules reads the [[channel]] rules of one file. app is empty for the main
// file, else the application whose file it is.
func readRules(tables []*table, app string, fallback acl.Storage) []acl.Rule {
	rules := make([]acl.Rule, 0, len(tables))
	for _, t := range tables {
		if r, ok := readRule(t, app, fallback); ok {
			rules = append(rules, r)
		}
	}
	return rules
}

// readRule reads one rule; ok is false if it has no valid pattern.
func readRule(t *table, app string, fallback acl.Storage) (r acl.Rule, ok bool) {
	t.label = "channel: "
	match := t.text("match", "", "/chat/**")
	if match == "" {
		if _, isText := t.values["match"].(string); t.has("match") && !isText {
			return acl.Rule{}, false // which has been told
		}
		t.fail("match", `write match = "/chat/**"`, "it is missing")
		return acl.Rule{}, false
	}
	t.label = fmt.Sprintf("channel %q: ", match)
	pattern, err := channel.ParsePattern(match)
	if err != nil {
		t.fail("match", `write segments behind slashes, as in "/chat/*" (one segment), "/chat/**" (the rest) or "/inbox/{user}"`, "%v", err)
	}
	r = acl.Rule{
		Match:     pattern,
		Subscribe: t.principals("subscribe"),
		Publish:   t.principals("publish"),
		Storage:   t.storage(fallback),
		Source:    acl.Source{File: t.doc.file, Line: t.line()},
		App:       app,
	}
	t.done()
	return r, err == nil && t.consistent(&r)
}

// consistent reports a rule that contradicts itself. Lists with mistakes of
// their own are not judged: half of them is missing.
func (t *table) consistent(r *acl.Rule) bool {
	if listed(t, "subscribe") != len(r.Subscribe) || listed(t, "publish") != len(r.Publish) {
		return false
	}
	err := r.Check()
	if err != nil {
		t.fail("match", hintOf(err), "%v", err)
	}
	return err == nil
}

func listed(t *table, key string) int {
	list, _ := t.values[key].([]any)
	return len(list)
}

func (t *table) principals(key string) []acl.Principal {
	list, _ := t.texts(key, "@authenticated")
	var principals []acl.Principal
	for _, e := range list {
		p, err := acl.ParsePrincipal(e.text)
		if err != nil {
			t.failAt(e.line, key, hintOf(err), "%v", err)
			continue
		}
		principals = append(principals, p)
	}
	return principals
}

func (t *table) storage(fallback acl.Storage) acl.Storage {
	memory := t.choice("store", "disk", "disk", "memory") == "memory"
	s := t.retain("retain", fallback)
	if s.Memory = memory; memory && s.Messages == 0 && s.Bytes == 0 {
		s.Messages = memoryRing
	}
	return s
}
