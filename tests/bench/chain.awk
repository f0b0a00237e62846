# The tables of tests/bench/chain: the best round of each, and whether the goals are met.
#	guest DEPTH ours|qemu TEST VALUE /s
#	chain KIND NAME VALUE UNIT
$1 == "guest" {
	if (!($4 in test)) {
		test[$4] = 1
		tests[++ntests] = $4
	}
	if (!($2 in depth)) {
		depth[$2] = 1
		depths[++ndepths] = $2
	}
	if ($5 > best[$2, $3, $4])
		best[$2, $3, $4] = $5
}

$1 == "chain" {
	if (!($2 in kind)) {
		kind[$2] = 1
		kinds[++nkinds] = $2
	}
	if (!(($2, $3) in huge) || $4 > huge[$2, $3])
		huge[$2, $3] = $4
}

function goal(ok, text)
{
	print "goal: " text " " (ok ? "PASS" : "FAIL")
	failed = failed || !ok
}

END {
	print "| depth | test | ring1 /s | TCG /s | ratio |"
	print "|---|---|---|---|---|"
	for (t = 1; t <= ntests; t++)
		for (d = 1; d <= ndepths; d++) {
			o = best[depths[d], "ours", tests[t]]
			q = best[depths[d], "qemu", tests[t]]
			printf "| %s | %s | %.0f | %s | %s |\n", depths[d], tests[t], o,
				q ? sprintf("%.0f", q) : "-", q ? sprintf("**%.2f**", o / q) : "-"
		}
	if (nkinds) {
		print "\n2 TiB, 32 snapshots:\n"
		print "| grains | memory MiB | open ms | 4 KiB read us | 4 KiB new write us | whole map s | its ranges |"
		print "|---|---|---|---|---|---|---|"
	}
	for (k = 1; k <= nkinds; k++)
		printf "| %s | %.1f | %.1f | %.1f | %.0f | %.2f | %.0f |\n", kinds[k],
			huge[kinds[k], "memory"], huge[kinds[k], "open"], huge[kinds[k], "read"],
			huge[kinds[k], "write"], huge[kinds[k], "map"], huge[kinds[k], "ranges"]
	print ""
	for (t = 1; t <= ntests; t++) {
		one = best[1, "ours", tests[t]]
		deep = best[32, "ours", tests[t]]
		if (one && deep)
			goal(deep >= 0.95 * one, sprintf("%s at depth 32 within 5 %% of depth 1: %+.1f %%",
				tests[t], 100 * (deep / one - 1)))
	}
	for (k = 1; k <= nkinds; k++)
		goal(huge[kinds[k], "memory"] <= 64, sprintf("2 TiB, 32 snapshots, %s: at most 64 MiB: %.1f MiB",
			kinds[k], huge[kinds[k], "memory"]))
	exit failed || ntests + nkinds == 0
}
