package slapd

// Person returns the DN of one of the people, by uid.
func Person(uid string) string { return "uid=" + uid + "," + People }

// Group returns the DN of one of the groups.
func Group(cn string) string { return "cn=" + cn + "," + Groups }

// sample is a directory with the cases that go wrong easily. Passwords are the
// first word of the name and "-secret".
func sample(referral string) []entry {
	entries := []entry{
		{Base, []string{"objectClass: dcObject", "objectClass: organization", "o: Example", "dc: example"}},
		unit("people", Base), unit("groups", Base), unit("services", Base), unit("policies", Base), unit("staff", People),
		policy("default", "pwdLockout: TRUE", "pwdMaxFailure: 3", "pwdLockoutDuration: 300", "pwdFailureCountInterval: 300", "pwdMustChange: TRUE"),
		policy("expired", "pwdMaxAge: 1", "pwdGraceAuthNLimit: 0"),
		{Service, []string{"objectClass: applicationProcess", "objectClass: simpleSecurityObject", "cn: orbitd", "userPassword: " + ServicePassword}},

		person(Person("alice"), "alice", "mail: alice@example.org"),
		person(Person("bob"), "bob", "mail: bob@example.org"),
		person(Person("carol"), "carol"),
		person(Person("dave"), "dave"),
		// Names that mean something in a DN, in a filter, or are not ASCII.
		person(`cn=Doe\, Jane \"J\+R\" \<x\>,`+People, "jane", "cn: Doe, Jane \"J+R\" <x>"),
		person(`uid=a*(b)\\c,`+People, `a*(b)\c`),
		person("uid=zoë,"+People, "zoë"),
		// One uid, two entries.
		person("uid=twin,"+People, "twin"),
		person("uid=twin,ou=staff,"+People, "twin"),
		// Two uids, one entry.
		person(Person("eve"), "eve", "uid: eva"),
		person(Person("expired"), "expired", "pwdPolicySubentry: cn=expired,ou=policies,"+Base),

		groupOf("traders", Person("alice"), Person("bob")),
		groupOf("admins", Person("alice")),
		groupOf("everyone", Group("traders"), Person("carol")),
		groupOf("loop-a", Person("dave")),
		groupOf("loop-b", Group("loop-a")),
		{"cn=ops," + Groups, []string{"objectClass: posixGroup", "cn: ops", "gidNumber: 2001", "memberUid: alice"}},
		// A group whose short name is another's DN.
		{"ou=odd," + Groups, []string{"objectClass: groupOfNames", "objectClass: extensibleObject", "ou: odd", "cn: " + Group("admins"), "member: " + Person("bob")}},
	}
	if referral != "" {
		entries = append(entries, entry{Away, []string{"objectClass: referral", "objectClass: extensibleObject", "ou: away", "ref: " + referral + "/" + People}})
	}
	return entries
}

func unit(ou, below string) entry {
	return entry{"ou=" + ou + "," + below, []string{"objectClass: organizationalUnit", "ou: " + ou}}
}

func policy(cn string, more ...string) entry {
	return entry{"cn=" + cn + ",ou=policies," + Base, append([]string{
		"objectClass: device", "objectClass: pwdPolicy", "cn: " + cn, "pwdAttribute: userPassword",
	}, more...)}
}

func person(dn, uid string, more ...string) entry {
	password := uid + "-secret"
	attributes := []string{"objectClass: inetOrgPerson", "uid: " + uid, "sn: " + uid, "userPassword: " + password}
	hasCN := false
	for _, m := range more {
		hasCN = hasCN || len(m) > 4 && m[:4] == "cn: "
	}
	if !hasCN {
		attributes = append(attributes, "cn: "+uid)
	}
	return entry{dn, append(attributes, more...)}
}

func groupOf(cn string, members ...string) entry {
	attributes := []string{"objectClass: groupOfNames", "cn: " + cn}
	for _, m := range members {
		attributes = append(attributes, "member: "+m)
	}
	return entry{Group(cn), attributes}
}
