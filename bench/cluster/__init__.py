"""Jobs on other machines: job arrays of any scheduler, and engines that start workers."""
