# Make the tables and the goal lines of a benchmark run from its samples:
#
#	ROUND ENGINE TEST BEST MEAN UNIT CHECKSUM
#	ROUND ENGINE boot:FLAVOUR WALL CPU s -
#	ROUND ENGINE pair:CPUS BEST MEAN UNIT CHECKSUM	on that many (virtual) CPUs
#	1 ENGINE memory:FLAVOUR MIB MIB MiB -		at most, beyond the guest's RAM
#
# under -v engine=bt -v goal=1.30, and with -v nopair=REASON where the engine has one
# virtual CPU only.  Ratios are of times (above 1: slower), taken within each
# round, where the runs stood side by side; what is printed is their median.

function median(text,    a, n, i, j, t)
{
	n = split(text, a, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && a[j - 1] + 0 > a[j] + 0; j--) {
			t = a[j]; a[j] = a[j - 1]; a[j - 1] = t
		}
	return n == 0 ? "" : n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
}

# Median over the rounds of time(x) / time(y); "" when there is no such round.
function ratio(test, x, y, what,    r, l)
{
	l = ""
	for (r = 1; r <= rounds; r++)
		if ((r, x, test, what) in val && (r, y, test, what) in val)
			l = l " " (unit[test] == "MB/s" ? \
				val[r, y, test, what] / val[r, x, test, what] : \
				val[r, x, test, what] / val[r, y, test, what])
	return median(l)
}

function middle(test, e, what,    r, l)
{
	l = ""
	for (r = 1; r <= rounds; r++)
		if ((r, e, test, what) in val)
			l = l " " val[r, e, test, what]
	return median(l)
}

function show(v, fmt)
{
	return v == "" ? "-" : sprintf(fmt, v)
}

function row(test, what, name,    r)
{
	r = ratio(test, engine, "tcg", what)
	printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", name, unit[test],
		show(middle(test, "native", what), "%.4g"),
		show(middle(test, "tcg", what), "%.4g"),
		show(middle(test, engine, what), "%.4g"),
		show(ratio(test, engine, "native", what), "**%.2f**"),
		show(ratio(test, "tcg", "native", what), "%.2f"),
		show(r, "%.2f")
	return r
}

# Median over the rounds of how much faster the pair is on two CPUs than on one.
function pair_gain(e,    r, l)
{
	l = ""
	for (r = 1; r <= rounds; r++)
		if ((r, e, "pair:1", "best") in val && (r, e, "pair:2", "best") in val)
			l = l " " val[r, e, "pair:1", "best"] / val[r, e, "pair:2", "best"]
	return median(l)
}

function verdict(good)
{
	return good ? "PASS" : "FAIL"
}

{
	if ($1 > rounds)
		rounds = $1
	if (!($3 in unit))
		order[++tests] = $3
	unit[$3] = $6
	val[$1, $2, $3, "best"] = $4
	val[$1, $2, $3, "mean"] = $5
	if (!($3 in sum))
		sum[$3] = $7
	else if (sum[$3] != $7)
		wrong = wrong " " $2 ":" $3
	seen[$2] = 1
}

function geomean(e,    i, n, list, l, r)
{
	n = split("sort sha256 crc32 matrix memcpy gzip", list, " ")
	for (i = 1; i <= n; i++) {
		r = ratio(list[i], e, "native", "best")
		if (r == "")
			return ""
		l += log(r)
	}
	return exp(l / n)
}

END {
	print "| test | unit | native | TCG | " engine " | " engine "/native | TCG/native | " engine "/TCG |"
	print "|---|---|---|---|---|---|---|---|"
	for (i = 1; i <= tests; i++) {
		t = order[i]
		if (t ~ /^boot:/) {
			b = row(t, "best", t " wall")
			row(t, "mean", t " CPU")
			if (b != "")
				boots = boots sprintf("goal: %s in at most half of TCG's time: %.2f %s\n",
					t, b, verdict(b <= 0.5))
		} else if (t ~ /^memory:/) {
			b = val[1, engine, t, "best"]
			memory = memory sprintf("goal: %s: at most 32 MiB beyond the guest's RAM: %.1f MiB %s\n",
				t, b, verdict(b <= 32))
		} else {
			b = row(t, "best", t)
			if (b != "" && b > 1)
				slower = slower sprintf(" %s %.2f", t, b)
		}
	}
	print ""
	print "results are the same everywhere: " (wrong == "" ? "PASS" : "FAIL:" wrong)
	g = geomean("tcg")
	if (g != "")
		printf "TCG: geometric mean of sort sha256 crc32 matrix memcpy gzip: %.2f of native\n", g
	if (engine in seen) {
		g = geomean(engine)
		if (g != "")
			printf "goal: geometric mean of sort sha256 crc32 matrix memcpy gzip at most %s of native: %.2f %s\n",
				goal, g, verdict(g <= goal)
		print "goal: nothing slower than TCG: " (slower == "" ? "PASS" : "FAIL:" slower)
		printf "%s%s", boots, memory
		g = pair_gain(engine)
		if (g != "")
			printf "goal: two processes on 2 vCPUs at least 1.70 times as fast as on 1: %.2f %s (native: %s)\n",
				g, verdict(g >= 1.7), show(pair_gain("native"), "%.2f")
		else if (nopair != "")
			print "goal: two processes on 2 vCPUs: not there: " nopair
	}
	exit wrong != ""
}
