"""Safety mechanisms of a model: found, checked, compared, and watched while it serves.

`refusals.py`      when an answer is a refusal
`prompt_sets.py`   harmful and harmless requests, and the labelled prompts of each concept
`direction.py`     taking a direction out of the whole model, or adding it, while it runs
`choosing.py`      the refusal direction, chosen by its scores
`refusal.py`       the story of one study of refusal
`contrast.py`      SAE features that tell a concept's prompts apart
`catalogue.py`     the safety features of a checkpoint, with their causal check
`comparing.py`     what became of them in another checkpoint
`jailbreak.py`     a request beside its jailbroken form: `shifts.py` what sleeps and what wakes, `restoring.py`
                   what brings refusal back
`monitoring/`      probes and circuits that watch every token while the model writes
"""
