"""`TorchTrainer` for workers that add up gradients, as lean as `ray_trainer.py`. Importing it imports torch."""

from ray.train.v2.torch.torch_trainer import TorchTrainer

from hazardline.train.ray_trainer import LeanTrainer


class LeanTorchTrainer(LeanTrainer, TorchTrainer):
    """`TorchTrainer` without helper processes."""
