"""What Snakemake's report calls tables and figures. Loaded while the DAG is planned."""

FIGURE_LABELS = {
    "accuracy": "Accuracy",
    "learning_curves": "Learning curves",
    "ppo": "PPO",
    "reward_accuracy": "Reward model",
    "sensitivity": "Sensitivity to the scoring",
    "tradeoffs": "What each method gains and costs",
}
TABLE_LABELS = {
    "table1": "Table 1: hyper-parameters of SFT and CoH",
    "table2": "Table 2: hyper-parameters of the RL arm",
    "table3": "Table 3: accuracy",
    "table4": "Table 4: responses of stages 1 and 3",
    "human_eval": "Blind human evaluation",
    "sensitivity": "Three scorings",
    "paired": "Methods pair by pair",
    "comparison": "Published beside reproduced",
    "markers": "Checkpoint and marker crossed",
    "table5": "Table 5: all methods on one base",
    "costs": "What each row of Table 5 cost",
}
